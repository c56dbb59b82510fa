"""A model's random numbers (dropout) as a function of (seed, step, micro-batch, process, stream)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def forked() -> Iterator[None]:
    """The state of torch's generators is the same after the block as before it."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        yield


def seed(*key: int | str) -> None:
    """Seed torch's generators on the devices in use.

    One by one: `torch.manual_seed` formats a stack trace in each call where CUDA is installed but not used.
    """
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=8).digest()
    value = int.from_bytes(digest, "big") >> 1
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(value)
    elif torch.backends.mps.is_available():
        torch.mps.manual_seed(value)
