"""A loss on a pair of streams: an edge of the pair graph."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from anyclip.losses import Loss
from anyclip.losses.base import at_least_fp32
from anyclip.objectives.base import Objective, StepContext
from anyclip.objectives.scalar import clamp_
from anyclip.similarities import Similarity


class PairObjective(Objective):
    """Scores of the complete rows of the global batch, turned into a number by a loss.

    log_scale: [1], the logarithm of the scale. bias: [1] or None. scale_max: clamp of the scale after each step.
    Fewer complete rows than the loss's `min_rows` give 0 (with a graph: its gradients are zeros).
    """

    streams: tuple[str, str]

    def __init__(
        self,
        streams: tuple[str, str],
        loss: Loss,
        similarity: Similarity,
        *,
        log_scale: nn.Parameter,
        bias: nn.Parameter | None = None,
        scale_max: float | None = None,
    ):
        super().__init__()
        self.streams = streams
        self.loss, self.similarity = loss, similarity
        self.log_scale, self.bias, self.scale_max = log_scale, bias, scale_max
        self.needs = similarity.needs
        self.fields = loss.fields

    @property
    def scale(self) -> Tensor:
        """The multiplied value, [1]."""
        return at_least_fp32(self.log_scale).exp()

    def counted(self, ctx: StepContext) -> bool:
        """Whether the global batch holds enough complete rows; the same on every process."""
        return ctx.count(*self.streams) >= self.loss.min_rows

    def forward(self, ctx: StepContext) -> dict[str, Tensor]:
        if not self.counted(ctx):
            return {"loss": self._zero(ctx)}
        pair = ctx.pair(*self.streams, self.similarity)
        share = self.loss.share(
            pair.a,
            pair.b,
            pair.local,
            score=self.similarity.scores,
            scale=self.scale,
            bias=None if self.bias is None else at_least_fp32(self.bias),
            **{name: ctx.field(name, pair.rows) for name in self.fields},
        )
        return {"loss": share.sum()}

    def _zero(self, ctx: StepContext) -> Tensor:
        """0 with the graph that other processes and other numbers of processes have; sums of nothing are never NaN."""
        tensors = [*self.parameters(), *(ctx.features(s) for s in self.streams)]
        return torch.stack([at_least_fp32(t.flatten()[:0]).sum() for t in tensors]).sum()

    def after_step(self, ctx: StepContext | None = None) -> None:
        if self.scale_max is not None and self.log_scale.requires_grad:
            clamp_(self.log_scale, math.log(self.scale_max))
