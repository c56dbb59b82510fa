"""A model's random numbers (dropout) as a function of (seed, step, micro-batch, process, stream)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def forked() -> Iterator[None]:
    """The state of torch's generators is the same after the block as before it."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        yield


def seed(*key: int | str) -> None:
    """Seed torch's generators on every device."""
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=8).digest()
    torch.manual_seed(int.from_bytes(digest, "big") >> 1)
