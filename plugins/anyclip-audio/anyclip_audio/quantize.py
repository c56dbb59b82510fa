"""Vectors become the nearest entry of a text tower's vocabulary, with a gradient (SpeechCLIP's cascaded branch)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from anyclip.errors import UserError


def cosines(x: Tensor, table: Tensor, allowed: Tensor) -> Tensor:
    """[B, K, D] against [V, D] -> [B, K, V] in at least float32; minus infinity where `allowed` [V] is False."""
    with torch.autocast(x.device.type, enabled=False):
        wide = torch.promote_types(x.dtype, torch.float32)
        found = F.normalize(x.to(wide), dim=-1) @ F.normalize(table.to(wide), dim=-1).T
    return found.masked_fill(~allowed, float("-inf"))


def nearest_entries(x: Tensor, table: Tensor, allowed: Tensor, *, temperature: float) -> tuple[Tensor, Tensor]:
    """(entries [B, K, D], ids [B, K]): for each vector the entry of the table with the largest cosine.

    The gradient is that of the softmax over all allowed entries at `temperature` (straight through).
    """
    scores = cosines(x, table, allowed)
    ids = scores.argmax(dim=-1)
    if not scores.requires_grad:
        return F.embedding(ids, table), ids
    soft = (scores / temperature).softmax(dim=-1).to(table.dtype)
    hard = F.one_hot(ids, len(table)).to(table.dtype)
    return (hard - soft.detach() + soft) @ table, ids


def perplexities(scores: Tensor) -> tuple[Tensor, Tensor]:
    """How many entries a batch uses [], and how many its scores [B, K, V] are spread over []: exp of the entropy.

    Of the mean choice and of the mean softmax over all vectors of the batch.
    """
    flat = scores.flatten(0, -2)
    chosen = F.one_hot(flat.argmax(dim=-1), flat.shape[-1]).to(flat.dtype).mean(dim=0)
    spread = flat.softmax(dim=-1).mean(dim=0)
    entropy = [-(p * (p + 1e-7).log()).sum() for p in (chosen, spread)]
    return entropy[0].exp(), entropy[1].exp()


def read_vocabulary(path: str, size: int) -> Tensor:
    """bool [size]: the ids in a text file, one per line. Raises UserError for anything else in it."""
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8").split()
    except (OSError, ValueError) as error:
        raise UserError(f"vocabulary: {path!r} cannot be read: {error}") from error
    allowed = torch.zeros(size, dtype=torch.bool)
    for number, text in enumerate(lines, start=1):
        if not text.isdecimal() or int(text) >= size:
            raise UserError(
                f"vocabulary: entry {number} of {path!r} is {text!r}, not an id below {size}.",
                hint="Give the ids of the text tower's tokenizer, one per line.",
            )
        allowed[int(text)] = True
    return allowed
