"""Scores of every pair by a module that reads both sides at once, some pairs at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def scored_in_chunks(
    score: Callable[[Tensor, Tensor], Tensor],
    stand_in: Callable[[], Tensor],
    sides: tuple[Sequence[Tensor], Sequence[Tensor]],
    chunk: int,
) -> Tensor:
    """`score(rows of a [n], rows of b [n]) -> [n]` for all pairs of rows of two sides -> [Na, Nb].

    stand_in: a score [1] of made-up rows. A process without rows computes it and keeps none: every process must reach
    every weight and every gathered tensor. sides: the tensors with gradients that `score` reads of a and of b.

    `chunk` pairs at a time; with gradients each chunk is computed again in the backward pass, so that memory does not
    grow with the number of pairs but for the scores. Random draws are replayed.
    """
    (a, b), device = (len(side[0]) for side in sides), sides[0][0].device
    if not a * b:
        touched = [x.flatten()[:0].sum() for side in sides for x in side]
        return stand_in()[:0].reshape(a, b) + torch.stack(touched).sum()
    rows, columns = torch.arange(a, device=device), torch.arange(b, device=device)
    of_a, of_b = rows.repeat_interleave(b), columns.repeat(a)
    found = []
    for i, j in zip(of_a.split(chunk), of_b.split(chunk)):
        if torch.is_grad_enabled() and a * b > chunk:
            found.append(checkpoint(score, i, j, use_reentrant=False))
        else:
            found.append(score(i, j))
    return torch.cat(found).reshape(a, b)  # type: ignore[arg-type]
