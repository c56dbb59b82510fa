"""Token-wise inputs that several similarities share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from anyclip.errors import UserError
from anyclip.similarities.base import Prepared
from anyclip.towers import Encoding


def at_least_fp32(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def unit_tokens(encoding: Encoding, who: str, *, normalize: bool = True) -> tuple[Tensor, Tensor]:
    """Tokens [B, T, E] of length 1 and their mask [B, T]. Raises UserError for a tower that gives no tokens."""
    if encoding.tokens is None:
        raise UserError(f"the similarity {who} compares tokens, and a tower of the pair gives none.")
    tokens = at_least_fp32(encoding.tokens)
    tokens = F.normalize(tokens, dim=-1) if normalize else tokens
    mask = encoding.mask
    return tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device) if mask is None else mask.bool()


def masked_mean(x: Tensor, mask: Tensor, dim: int) -> Tensor:
    """Mean over one axis where `mask` (which broadcasts) is True; rows without any give 0."""
    weight = mask.to(x.dtype)
    return (x * weight).sum(dim) / weight.expand_as(x).sum(dim).clamp(min=1)


def unit_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """[B, T, E] unit tokens -> [B, E], the unit vector of their masked mean."""
    return F.normalize(masked_mean(tokens, mask[..., None], 1), dim=-1)


def padded(side: Prepared, name: str, length: int) -> Tensor:
    """Tokens of exactly `length`, padded with zeros. Raises UserError for more."""
    x = side[name]
    if x.shape[1] > length:
        raise UserError(f"a row has {x.shape[1]} {name}, the similarity is built for {length}.")
    return F.pad(x, (0, 0, 0, length - x.shape[1]))
