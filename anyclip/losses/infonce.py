"""InfoNCE: a softmax over all candidates, in both directions.

Radford et al. 2021 (CLIP), arXiv 2103.00020, figure 3; label smoothing and the sum of directions: Jia et al. 2021
(ALIGN), arXiv 2102.05918; weighted directions: Zhang et al. 2020 (ConVIRT), arXiv 2010.00747, equation 4.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from anyclip.losses.base import Loss, Prepared, Score, both_directions, take
from anyclip.losses.options import InfoNCEOptions


class InfoNCE(Loss):
    """mean_i [ logsumexp_j L_ij - L_ii ] of both directions, with L = scale * scores (+ bias, which cancels)."""

    default_scale = 1 / 0.07
    min_rows = 2

    def __init__(self, options: InfoNCEOptions | None = None):
        super().__init__(options or InfoNCEOptions())

    @property
    def direction_weights(self) -> tuple[float, float]:
        reduction = self.options.direction_reduction
        if isinstance(reduction, str):
            return {"mean": (0.5, 0.5), "sum": (1.0, 1.0)}[reduction]
        return reduction[0], reduction[1]

    def from_scores(
        self, ab: Tensor, ba: Tensor, *, scale: Tensor | float, bias: Tensor | float | None = None, **fields: Any
    ) -> Tensor:
        return self._add(ab, ba, slice(0, len(ab)), len(ab), scale, bias)

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
        """Own rows against all columns, in each direction: at most [n_local, N] scores twice."""
        a, b = self.prepare(a), self.prepare(b)
        n = len(next(iter(a.values())))
        if local.stop - local.start == n:
            ab, ba = both_directions(score(a, b))
        else:
            ab = both_directions(score(take(a, local), b))[0]
            ba = both_directions(score(a, take(b, local)))[1]
        return self._add(ab, ba, local, n, scale, bias)

    def _add(
        self, ab: Tensor, ba: Tensor, rows: slice, n: int, scale: Tensor | float, bias: Tensor | float | None
    ) -> Tensor:
        weight_ab, weight_ba = self.direction_weights
        return weight_ab * self._direction(ab, rows, n, scale, bias) + weight_ba * self._direction(
            ba, rows, n, scale, bias
        )

    def _direction(
        self, scores: Tensor, rows: slice, n: int, scale: Tensor | float, bias: Tensor | float | None
    ) -> Tensor:
        """Sum over the given rows [n_rows, N] of the cross entropy with their own column, over N."""
        logits = scores * scale if bias is None else scores * scale + bias
        columns = torch.arange(rows.start, rows.stop, device=scores.device)
        target = logits.gather(1, columns[:, None])[:, 0]
        if self.options.label_smoothing:
            target = torch.lerp(target, logits.mean(dim=1), self.options.label_smoothing)
        return (logits.logsumexp(dim=1) - target).sum() / n
