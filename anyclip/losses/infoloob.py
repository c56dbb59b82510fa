"""InfoLOOB: as InfoNCE, but the positive is left out of the candidates; with CLOOB's retrieval on request.

Fuerst et al. 2021 (CLOOB), arXiv 2110.11316, equations 9 to 11; the retrieval is a modern Hopfield network
(Ramsauer et al. 2020, arXiv 2008.02217) that stores the batch.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from anyclip.losses.base import Loss, Prepared, Score, at_least_fp32, both_directions, take
from anyclip.losses.options import InfoLOOBOptions, direction_weights


class InfoLOOB(Loss):
    """1/scale * mean_i [ logsumexp_{j != i} k_ij - k_ii ] per direction, k = scale * scores.

    With `hopfield_scale` the terms compare what a and b retrieve: U(x, Y) = normalise(softmax(h x Y^T) Y). The first
    is (U(a, a), U(b, a)), the second (U(b, b), U(a, b)), each rows against columns. That needs embeddings.
    """

    default_scale = 30.0
    min_rows = 2

    def __init__(self, options: InfoLOOBOptions | None = None):
        super().__init__(options or InfoLOOBOptions())

    def forward(self, a: Tensor, b: Tensor, *, scale: Tensor | float | None = None, **settings: Any) -> Tensor:
        if self.options.hopfield_scale is None or a.shape != b.shape:
            return super().forward(a, b, scale=scale, **settings)
        scale = self.default_scale if scale is None else scale
        first, second = ({"embedding": at_least_fp32(x)} for x in (a, b))
        with torch.autocast(a.device.type, enabled=False):
            return self.share(first, second, slice(0, len(a)), score=dot, scale=scale, **settings)

    def from_scores(
        self, ab: Tensor, ba: Tensor, *, scale: Tensor | float, bias: Tensor | float | None = None, **fields: Any
    ) -> Tensor:
        if self.options.hopfield_scale is not None:
            raise ValueError("hopfield_scale needs embeddings, not scores alone")
        return self._add((ab, ba), slice(0, len(ab)), len(ab), scale)

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
        """Own rows against all columns; with retrieval every process retrieves its own rows and all states."""
        a, b = self.prepare(a), self.prepare(b)
        n = len(next(iter(a.values())))
        if self.options.hopfield_scale is not None:
            return self._add(self._retrieved(a, b, local), local, n, scale)
        ab = both_directions(score(take(a, local), b))[0]
        ba = both_directions(score(a, take(b, local)))[1]
        return self._add((ab, ba), local, n, scale)

    def _retrieved(self, a: Prepared, b: Prepared, local: slice) -> tuple[Tensor, Tensor]:
        if "embedding" not in a or "embedding" not in b:
            raise ValueError("hopfield_scale needs a similarity that compares embeddings, such as cosine")
        x, y = a["embedding"], b["embedding"]
        first = self._retrieve(x[local], x) @ self._retrieve(y, x).T
        return first, self._retrieve(y[local], y) @ self._retrieve(x, y).T

    def _retrieve(self, states: Tensor, stored: Tensor) -> Tensor:
        attention = (self.options.hopfield_scale * states @ stored.T).softmax(dim=1)
        return F.normalize(attention @ stored, dim=-1)

    def _add(self, scores: tuple[Tensor, Tensor], rows: slice, n: int, scale: Tensor | float) -> Tensor:
        own = torch.arange(rows.start, rows.stop, device=scores[0].device)[:, None]
        total = scores[0].new_zeros(())
        for weight, block in zip(direction_weights(self.options.direction_reduction), scores):
            if weight:
                logits = block * scale
                others = logits.scatter(1, own, -math.inf).logsumexp(dim=1)
                total = total + weight * (others - logits.gather(1, own)[:, 0]).sum()
        return total / n / scale


def dot(a: Prepared, b: Prepared) -> Tensor:
    return a["embedding"] @ b["embedding"].T
