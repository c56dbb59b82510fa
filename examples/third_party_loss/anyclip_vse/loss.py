"""Faghri et al. 2018 (VSE++), arXiv 1707.05612: equations 5 (sum of hinges) and 6 (max of hinges)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from anyclip import Loss
from anyclip.losses.base import Prepared, Score, both_directions, take


class VSE(Loss):
    """Mean over rows of max_j or sum_j over j != i of max(0, margin - s_ii + s_ij), of both directions."""

    def from_scores(
        self, ab: Tensor, ba: Tensor, *, scale: Tensor | float, bias: Tensor | float | None = None, **fields: Any
    ) -> Tensor:
        rows = slice(0, len(ab))
        return (self._hinges(scale * ab, rows) + self._hinges(scale * ba, rows)) / len(ab)

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
        """Own rows against all columns, in each direction: [n_local, N] scores twice."""
        count = len(next(iter(b.values())))
        ab = both_directions(score(take(a, local), b))[0]
        ba = both_directions(score(a, take(b, local)))[1]
        return (self._hinges(scale * ab, local) + self._hinges(scale * ba, local)) / count

    def _hinges(self, scores: Tensor, rows: slice) -> Tensor:
        """Sum over the given rows [n_rows, N]."""
        own = torch.arange(rows.start, rows.stop, device=scores.device)[:, None]
        cost = (self.options.margin - scores.gather(1, own) + scores).clamp(min=0).scatter(1, own, 0.0)
        return (cost.amax(dim=1) if self.options.hardest else cost.sum(dim=1)).sum()
