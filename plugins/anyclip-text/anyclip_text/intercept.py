"""Reach into wrapped models without rewriting them: forward hooks that last for one call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def replaced_output(module: nn.Module, value: Tensor) -> Iterator[None]:
    """Inside the block, `module` returns `value` (in the dtype of its own output)."""
    handle = module.register_forward_hook(lambda _module, _inputs, output: value.to(output.dtype))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def recorded_outputs(modules: Sequence[nn.Module], wanted: Sequence[int]) -> Iterator[dict[int, Tensor]]:
    """Inside the block, the outputs of `modules[d]` for each wanted d (negative counts from the end) are kept."""
    kept: dict[int, Tensor] = {}

    def keep(depth: int):
        def hook(_module, _inputs, output):
            kept[depth] = output[0] if isinstance(output, tuple) else output

        return hook

    handles = [modules[depth].register_forward_hook(keep(depth)) for depth in wanted]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def hidden_keys(transformer: nn.Module, dropped: Tensor, heads: int) -> Iterator[None]:
    """Inside the block, no token attends to a dropped one (except it to itself, which keeps the softmax finite).

    For open_clip's `Transformer.forward(x, attn_mask=...)`; dropped [B, T], True = dropped. A class token that the
    model appends after the texts' tokens is never dropped.
    """

    def hook(_module, args, kwargs):
        x = args[0]
        extra = x.shape[1] - dropped.shape[1]
        keys = nn.functional.pad(dropped, (0, extra)) if extra else dropped
        length = keys.shape[1]
        hidden = keys[:, None, :] & ~torch.eye(length, dtype=torch.bool, device=keys.device)
        added = torch.zeros(hidden.shape, dtype=x.dtype, device=x.device).masked_fill(hidden, float("-inf"))
        added = added.repeat_interleave(heads, dim=0)
        before = kwargs.get("attn_mask")
        if before is not None:
            before = before[:length, :length] if before.ndim == 2 else before
            added = added + before.to(x.dtype)
        return args, {**kwargs, "attn_mask": added}

    handle = transformer.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
