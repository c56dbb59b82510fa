"""Separation within a stream: its samples are negatives of each other, less so what means the same.

Eslami & de Melo 2024 (AlignCLIP), arXiv 2406.17639, section 4.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from anyclip.errors import UserError
from anyclip.objectives.base import Pair, StepContext
from anyclip.objectives.term import EdgeTerm, columns_of, cross_entropy_rows


class Separation(EdgeTerm):
    """Cross entropy of scale * G with the diagonal as target, per separated stream x, summed.

    Semantic: G = (x x^T) o (1 - s s^T) + diag(a_i.b_i) with unit sentence vectors s; else G = x x^T for both streams.
    fields: `sentence` [N, S], with `semantic`.
    """

    def __init__(self, options: Any, streams: tuple[str, str], *rest: Any, **scalars: Any):
        super().__init__(options, streams, *rest, **scalars)
        chosen = options.modalities or list(streams)
        for name in chosen:
            if name not in streams:
                raise UserError(f"separation: {name} is not one of the pair {', '.join(streams)}.")
        if not options.semantic and set(chosen) != set(streams):
            raise UserError("separation without `semantic` is defined for both streams of the pair.")
        self.sides = ["ab"[streams.index(name)] for name in chosen]
        self.fields = ("sentence",) if options.semantic else ()

    def shares(self, ctx: StepContext, pair: Pair) -> dict[str, Tensor]:
        """Own rows against all: [n_local, N] similarities per stream."""
        sides = {"a": pair.a["embedding"], "b": pair.b["embedding"]}
        own, n = pair.local, len(pair.rows)
        columns = columns_of(own, sides["a"].device)
        weight = matched = None
        if self.options.semantic:
            sentence = F.normalize(self.field(ctx, "sentence", pair.rows).to(sides["a"].dtype), dim=-1)
            weight = 1 - sentence[own] @ sentence.T
            matched = (sides["a"][own] * sides["b"][own]).sum(dim=1)
        total = sides["a"].new_zeros(())
        for side in self.sides:
            scores = sides[side][own] @ sides[side].T
            if weight is not None and matched is not None:
                place = columns[:, None] == torch.arange(n, device=columns.device)[None]
                scores = scores * weight + place * matched[:, None]
            total = total + cross_entropy_rows(self.scale * scores, columns) / n
        return {"loss": total}
