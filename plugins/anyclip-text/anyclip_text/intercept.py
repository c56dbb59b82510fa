"""Reach into wrapped models without rewriting them: forward hooks that last for one call, and stand-in ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from anyclip_text.pooling import last_position
from anyclip_text.tokenizers.base import TextTokenizer


@contextmanager
def given_embeddings(model: nn.Module, table: nn.Embedding, value: Tensor) -> Iterator[None]:
    """Inside the block, the token embedding of `model` returns `value` (in the dtype of its own output).

    Models that tie embeddings (T5) hold several modules with the weight of `table`; each is covered.
    """
    tied = [m for m in model.modules() if isinstance(m, nn.Embedding) and m.weight is table.weight]
    handles = [m.register_forward_hook(lambda _module, _inputs, output: value.to(output.dtype)) for m in tied]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def recorded_outputs(modules: nn.ModuleList, wanted: Sequence[int]) -> Iterator[dict[int, Tensor]]:
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
        keys = functional.pad(dropped, (0, extra)) if extra else dropped
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


def stand_in(
    embeds: Tensor, mask: Tensor, tokenizer: TextTokenizer, padding: Tensor, length: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Token embeddings [B, T, W] with mask [B, T] -> (ids, mask, embeds), each padded to `length` tokens.

    Models also read the ids, to find padding, positions and the end of the text: these ids have the special tokens
    where a text would have them. padding [W]: embedding of the padding id; it fills what the mask leaves out.
    """
    extra = length - embeds.shape[1]
    mask = functional.pad(mask, (0, extra))
    ids = torch.where(mask, tokenizer.plain_id(), tokenizer.pad_id)
    for position, special in enumerate(tokenizer.prefix[:length]):
        ids[:, position] = torch.where(mask[:, position], special, ids[:, position])
    if tokenizer.eos_id is not None:
        ids = ids.scatter(1, last_position(mask)[:, None], tokenizer.eos_id)
    embeds = functional.pad(embeds, (0, 0, 0, extra))
    return ids, mask, torch.where(mask[..., None], embeds, padding.to(embeds.dtype))
