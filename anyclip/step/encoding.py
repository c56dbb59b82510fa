"""Encode one stream of one micro-batch: random numbers that can be replayed, placeholders, what is kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from anyclip.distributed import world_size
from anyclip.model import JointModel
from anyclip.model.buffers import batch_norm_in_eval, buffers_kept
from anyclip.processors import to_device
from anyclip.step import rng
from anyclip.towers import Encoding

Key = tuple[int | str, ...]


def encode(model: JointModel, stream: str, inputs: Any, key: Key, **kw: Any) -> Encoding | None:
    """Run the stream's tower with random numbers from `key`.

    inputs None means no rows here: one process skips the tower (None), several run it on a placeholder row and keep
    `[:0]`, so that every process makes the same tower calls and every parameter takes part.
    """
    rng.seed(*key, stream)
    if inputs is not None:
        return model.encode(stream, inputs, **kw)
    if world_size() == 1:
        return None
    return encode_placeholder(model, stream, **kw)


def encode_placeholder(model: JointModel, stream: str, **kw: Any) -> Encoding:
    """The encoding of no rows. Buffers are left as they are, and BatchNorm needs no second row."""
    tower = model.tower(stream)
    if model.tower_of[model.resolve(stream)] in model.cached:
        return Encoding(pooled=torch.zeros(0, tower.width, device=device_of(model)))
    inputs = to_device(tower.processor.collate([tower.processor.placeholder()]), device_of(model))
    with buffers_kept(tower), batch_norm_in_eval(tower):
        return model.encode(stream, inputs, **kw)[:0]


def project(model: JointModel, stream: str, encoding: Encoding, key: Key) -> Tensor:
    """Features, with random numbers (dropout of an MLP projection) from `key`."""
    rng.seed(*key, stream, "projection")
    return model.features(stream, encoding)


def keep(encoding: Encoding, needs: Iterable[str]) -> Encoding:
    """Only what objectives read: `pooled`, `terms`, and the parts named in `needs`."""
    needs = set(needs)
    return Encoding(
        pooled=encoding.pooled,
        tokens=encoding.tokens if "tokens" in needs else None,
        mask=encoding.mask if needs & {"tokens", "layers"} else None,
        layers=encoding.layers if "layers" in needs else {},
        terms=encoding.terms,
        extra=encoding.extra if "extra" in needs else {},
    )


def device_of(model: torch.nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))
