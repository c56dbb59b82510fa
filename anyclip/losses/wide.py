"""Softmax over candidates that belong to no complete row: wider negatives where values are missing.

The rule with all rows of a stream as candidates is `negatives: modality`; Uni3D (Zhou et al. 2023, arXiv 2310.06773)
leaves rows without the stream among the candidates too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from anyclip.losses.base import Candidates, Score, both_directions


def wide_softmax(
    a: Candidates,
    b: Candidates,
    local: slice,
    *,
    score: Score,
    scale: Tensor | float,
    bias: Tensor | float | None = None,
    weights: tuple[float, float] = (0.5, 0.5),
    label_smoothing: float = 0.0,
) -> Tensor:
    """Sum over the local complete rows of the weighted cross entropies of both directions, over their global number.

    a, b: candidates with the positions of the complete rows among them. label_smoothing: over a row's candidates.
    """
    n = len(a.own)
    mine = a.own[local], b.own[local]
    total = mine[0].new_zeros((), dtype=next(iter(a.side.values())).dtype)
    if weights[0]:
        ab = both_directions(score(_rows(a.side, mine[0]), b.side))[0]
        total = total + weights[0] * _cross_entropy(ab, mine[1], scale, bias, label_smoothing)
    if weights[1]:
        ba = both_directions(score(a.side, _rows(b.side, mine[1])))[1]
        total = total + weights[1] * _cross_entropy(ba, mine[0], scale, bias, label_smoothing)
    return total / n


def _cross_entropy(
    scores: Tensor, own: Tensor, scale: Tensor | float, bias: Tensor | float | None, smoothing: float
) -> Tensor:
    """Sum over rows of [R, M] scores; own [R]: the column of each row's positive."""
    logits = scores * scale if bias is None else scores * scale + bias
    target = logits.gather(1, own[:, None])[:, 0]
    if smoothing:
        target = torch.lerp(target, logits.mean(dim=1), smoothing)
    return (logits.logsumexp(dim=1) - target).sum()


def _rows(side: dict[str, Tensor], index: Tensor) -> dict[str, Tensor]:
    return {name: tensor.index_select(0, index) for name, tensor in side.items()}
