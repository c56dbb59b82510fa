"""Buffers (BatchNorm statistics, counters) that a second or a placeholder run of a module must not change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def buffers_kept(module: nn.Module) -> Iterator[None]:
    """Buffers have the same values after the block as before it."""
    before = [(buffer, buffer.detach().clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, value in before:
            # .data: BatchNorm changes its statistics without a new version and saves them for backward, so that a
            # restore that counts as a change would be refused there
            buffer.data.copy_(value)


@contextmanager
def batch_norm_in_eval(module: nn.Module) -> Iterator[None]:
    """BatchNorm layers use their running statistics inside the block (a batch of one row has none of its own)."""
    training = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
    for layer in training:
        layer.training = False
    try:
        yield
    finally:
        for layer in training:
            layer.training = True
