"""Cyclic consistency: samples are as far apart in one stream as in the other, and both ways across.

Goel et al. 2022 (CyCLIP), arXiv 2205.14459, section 3.
"""

from __future__ import annotations

from torch import Tensor

from anyclip.objectives.base import Pair, StepContext
from anyclip.objectives.term import EdgeTerm


class Cyclic(EdgeTerm):
    """1/N sum_ij (a_i.a_j - b_i.b_j)^2 and 1/N sum_ij (a_i.b_j - a_j.b_i)^2 of the unscaled embeddings, weighted."""

    def __init__(self, options, *rest, **scalars):
        super().__init__(options, *rest, **scalars)
        self.components = tuple(name for name in ("in_modal", "cross_modal") if getattr(options, name))

    def shares(self, ctx: StepContext, pair: Pair) -> dict[str, Tensor]:
        """Own rows against all: [n_local, N] similarities."""
        a, b, own = pair.a["embedding"], pair.b["embedding"], pair.local
        found = {}
        if self.options.in_modal:
            within = a[own] @ a.T - b[own] @ b.T
            found["in_modal"] = self.options.in_modal * within.square().sum() / len(a)
        if self.options.cross_modal:
            across = a[own] @ b.T - b[own] @ a.T
            found["cross_modal"] = self.options.cross_modal * across.square().sum() / len(a)
        return found
