"""SigLIP: every pair of the batch is a yes-or-no question.

Zhai et al. 2023, arXiv 2303.15343, algorithm 1: the sum over all pairs, divided by the number of rows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from anyclip.losses.base import Loss, Prepared, Score, take
from anyclip.losses.options import SigLIPOptions
from anyclip.losses.tiled import plan, tiled_sigmoid


class SigLIP(Loss):
    """1/N sum_ij softplus(-z_ij L_ij), L = scale * scores + bias, z = 1 on the diagonal and -1 elsewhere."""

    default_scale = 10.0
    default_bias = -10.0
    min_rows = 1

    def __init__(self, options: SigLIPOptions | None = None):
        super().__init__(options or SigLIPOptions())

    def from_scores(
        self, ab: Tensor, ba: Tensor, *, scale: Tensor | float, bias: Tensor | float | None = None, **fields: Any
    ) -> Tensor:
        return self._rows((ab, ba), slice(0, len(ab)), len(ab), scale, bias)

    def share(
        self,
        a: Prepared,
        b: Prepared,
        local: slice,
        *,
        score: Score,
        scale: Tensor | float,
        bias: Tensor | float | None = None,
        **fields: Any,
    ) -> Tensor:
        """Own rows of the first stream against all of the second: [n_local, N] scores cover every pair once."""
        a, b = self.prepare(a), self.prepare(b)
        tiled = self.tiled(a, b, local, score=score, scale=scale, bias=bias)
        if tiled is not None:
            return tiled
        scores = score(take(a, local), b)
        if isinstance(scores, tuple):
            scores = scores[0], _second(score(a, take(b, local)))
        return self._rows(scores, local, len(next(iter(b.values()))), scale, bias)

    def tiled(
        self,
        a: Prepared,
        b: Prepared,
        local: slice,
        *,
        score: Score | None = None,
        scale: Tensor | float,
        bias: Tensor | float | None = None,
    ) -> Tensor | None:
        tiles = plan(self.options, a, b, local, score) if type(self) is SigLIP else None
        return None if tiles is None else tiled_sigmoid(a, b, local, scale=scale, bias=bias, tiles=tiles)

    def _rows(
        self,
        scores: Tensor | tuple[Tensor, Tensor],
        rows: slice,
        n: int,
        scale: Tensor | float,
        bias: Tensor | float | None,
    ) -> Tensor:
        """Sum over some rows [n_rows, N], over N; the mean of the directions when they differ."""
        if isinstance(scores, tuple):
            return sum(self._rows(s, rows, n, scale, bias) for s in scores) / 2  # type: ignore[return-value]
        logits = scores * scale if bias is None else scores * scale + bias
        columns = torch.arange(rows.start, rows.stop, device=scores.device)
        # log(1 + e^x) of all entries; log(1 + e^-x) = log(1 + e^x) - x corrects the diagonal.
        # logsigmoid, because softplus is linear above its threshold
        return -(F.logsigmoid(-logits).sum() + logits.gather(1, columns[:, None]).sum()) / n


def _second(scores: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    assert isinstance(scores, tuple)
    return scores[1]
