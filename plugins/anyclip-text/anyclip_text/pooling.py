"""How the tokens of a text become one vector."""

from __future__ import annotations

import torch
from torch import Tensor


def pool_tokens(tokens: Tensor, mask: Tensor, ids: Tensor, how: str, eos_id: int | None) -> Tensor:
    """tokens [B, T, W], mask [B, T] (True = counts), ids [B, T] -> [B, W].

    `cls` the first token, `last` the last that counts, `eos` the first end-of-text id, `mean` and `max` over those
    that count, `words` the mean without the first token.
    """
    if how == "cls":
        return tokens[:, 0]
    if how in ("mean", "words"):
        weight = mask.to(tokens.dtype)
        if how == "words":
            weight = weight * (torch.arange(mask.shape[1], device=mask.device) > 0)
        total = torch.einsum("btw,bt->bw", tokens, weight)
        return total / weight.sum(dim=1, keepdim=True).clamp(min=1e-9)
    if how == "max":
        return tokens.masked_fill(~mask[..., None], float("-inf")).amax(dim=1)
    if how == "last":
        at = last_position(mask)
    else:
        found = ids == eos_id
        at = torch.where(found.any(dim=1), found.long().argmax(dim=1), last_position(mask))
    return tokens[torch.arange(len(tokens), device=tokens.device), at]


def last_position(mask: Tensor) -> Tensor:
    """Index of the last True of each row [B] (0 where there is none)."""
    return (mask * torch.arange(mask.shape[1], device=mask.device)).argmax(dim=1)
