"""Distillation: a teacher's embeddings of the same samples guide the pair.

Soft labels: open_clip's DistillClipLoss, TinyCLIP (Wu et al. 2023, arXiv 2309.12314); an ensemble from stored vectors:
MobileCLIP (Vasu et al. 2023, arXiv 2311.17049); sigmoid: MobileCLIP2 (arXiv 2508.20691); features, interactive, cross
and gradient terms: CLIP-KD (Yang et al. 2023, arXiv 2307.12732, section 3).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anyclip.distributed import world_size
from anyclip.losses.base import at_least_fp32
from anyclip.model import JointModel
from anyclip.objectives.base import Pair, StepContext
from anyclip.objectives.distilling import gradient_gap, mean_probabilities, soft_cross_entropy, soft_sigmoid
from anyclip.objectives.term import EdgeTerm, columns_of, cross_entropy_rows

_SIDES = ("a", "b")


class Distillation(EdgeTerm):
    """Weighted components that compare a student pair (a, b) with its teacher's (c, d); see the options.

    fields: `teacher_a`, `teacher_b` [N, sum of teacher_dims], unless `teacher_streams` names two frozen streams.
    """

    def __init__(self, options: Any, streams: tuple[str, str], *rest: Any, dim: int = 0, **scalars: Any):
        super().__init__(options, streams, *rest, **scalars)
        if options.teacher_streams:
            self.streams = (*streams, *options.teacher_streams)  # type: ignore[assignment]
        else:
            self.fields = ("teacher_a", "teacher_b")
        names = ("logits", "features", "interactive", "cross_logits", "gradients")
        self.components = tuple(name for name in names if getattr(options, name))
        width = options.teacher_width
        self.maps = nn.ModuleDict()
        if width is not None and width != dim:
            self.maps = nn.ModuleDict({side: nn.Linear(dim, width) for side in _SIDES})

    @classmethod
    def from_edge(cls, options: Any, streams: Any, similarity: Any, *, model: JointModel, **scalars: Any):
        return cls(options, streams, similarity, dim=model.dim, **scalars)

    def forward(self, ctx: StepContext) -> dict[str, Tensor]:
        if ctx.count(*self.streams) < self.min_rows:
            return self.nothing(ctx)
        return self.shares(ctx, ctx.pair(*self.pair_streams, self.similarity))

    def shares(self, ctx: StepContext, pair: Pair) -> dict[str, Tensor]:
        rows = ctx.rows(*self.streams)
        chosen = torch.searchsorted(pair.rows, rows).to(pair.a["embedding"].device)
        a, b = (side["embedding"].index_select(0, chosen) for side in (pair.a, pair.b))
        if self.options.normalize_inputs:
            a, b = F.normalize(a, dim=-1), F.normalize(b, dim=-1)
        own = ctx.local(rows)
        c, d = self._teachers(ctx, rows, a)
        o, found = self.options, {}
        if o.logits:
            found["logits"] = o.logits * self._logits(a, b, c, d, own)
        x, y = (self.maps["a"](a), self.maps["b"](b)) if self.maps else (a, b)
        if o.features:
            gaps = (x[own] - c[own]).square().sum() + (y[own] - d[own]).square().sum()
            found["features"] = o.features * gaps / c.numel()
        if o.interactive or o.cross_logits:
            found |= self._cross(x, y, c, d, own)
        if o.gradients:
            inverse = o.gradient_temperature == "inverse_scale"
            times = [1 / s if inverse else s for s in (self.scale, o.teacher_scales[0])]
            found["gradients"] = o.gradients * gradient_gap((x, y, times[0]), (c, d, times[1])) / world_size()
        return {name: share.sum() for name, share in found.items()}

    def _teachers(self, ctx: StepContext, rows: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        if not self.options.teacher_streams:
            c, d = (self.field(ctx, name, rows) for name in self.fields)
        else:
            c, d = (
                F.normalize(at_least_fp32(ctx.select(s, ctx.features(s).detach(), rows)), dim=-1)
                for s in self.options.teacher_streams
            )
        return c.to(like.dtype).detach(), d.to(like.dtype).detach()

    def _blocks(self, x: Tensor) -> list[Tensor]:
        """The teachers' vectors, which stand side by side."""
        if self.options.teacher_dims:
            return list(x.split(self.options.teacher_dims, dim=1))
        return list(x.chunk(len(self.options.teacher_scales), dim=1))

    def _logits(self, a: Tensor, b: Tensor, c: Tensor, d: Tensor, own: slice) -> Tensor:
        """Own rows of both directions against all columns."""
        o, blocks = self.options, list(zip(self._blocks(c), self._blocks(d), self.options.teacher_scales))
        if o.divergence == "sigmoid":
            soft = [2 * (t * x[own] @ y.T + o.teacher_bias).sigmoid() - 1 for x, y, t in blocks]
            logits = self.scale * (a[own] @ b.T)
            logits = logits if self.shift is None else logits + self.shift
            return soft_sigmoid(torch.stack(soft).mean(0), logits) / len(a)
        total = a.new_zeros(())
        for student, teachers in (
            (a[own] @ b.T, [t * x[own] @ y.T for x, y, t in blocks]),
            (b[own] @ a.T, [t * y[own] @ x.T for x, y, t in blocks]),
        ):
            total = total + soft_cross_entropy(
                mean_probabilities(teachers), self.scale * student, subtract_entropy=o.divergence == "kl"
            )
        return total / (2 * len(a))

    def _cross(self, a: Tensor, b: Tensor, c: Tensor, d: Tensor, own: slice) -> dict[str, Tensor]:
        """Student rows against the teacher's columns of the other stream."""
        o, columns, found = self.options, columns_of(own, a.device), {}
        crossed = o.cross_scale * a[own] @ d.T, o.cross_scale * b[own] @ c.T
        if o.interactive:
            rows = sum(cross_entropy_rows(x, columns) for x in crossed)
            found["interactive"] = o.interactive * rows / (2 * len(a))
        if o.cross_logits:
            scale = o.teacher_scales[0]
            teachers = scale * c[own] @ d.T, scale * d[own] @ c.T
            gaps = [soft_cross_entropy(t.softmax(dim=1), s, subtract_entropy=True) for t, s in zip(teachers, crossed)]
            found["cross_logits"] = o.cross_logits * (gaps[0] + gaps[1]) / (2 * len(a))
        return found
