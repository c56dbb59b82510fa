"""An extra term on a pair of streams, beside a loss on the same pair."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from anyclip.losses.base import at_least_fp32
from anyclip.model import JointModel
from anyclip.objectives.base import Objective, Pair, StepContext
from anyclip.objectives.scalar import clamp_
from anyclip.similarities import Similarity


class EdgeTerm(Objective):
    """Named shares computed from the complete rows of a pair.

    similarity, log_scale, bias: those of the loss on the same pair where there is one, else its own. Subclasses define
    `shares`, which gives the `components`; it is not called, and they are 0, with fewer than `min_rows` complete rows
    in the global batch.
    """

    min_rows: int = 2
    components: tuple[str, ...] = ("loss",)

    def __init__(
        self,
        options: Any,
        streams: tuple[str, str],
        similarity: Similarity,
        *,
        log_scale: nn.Parameter | None = None,
        bias: nn.Parameter | None = None,
        scale_max: float | None = None,
    ):
        super().__init__()
        self.options, self.pair_streams, self.similarity = options, streams, similarity
        self.streams = streams
        self.needs = similarity.needs
        self.log_scale, self.bias, self.scale_max = log_scale, bias, scale_max

    @classmethod
    def from_edge(
        cls,
        options: Any,
        streams: tuple[str, str],
        similarity: Similarity,
        *,
        model: JointModel,
        **scalars: Any,
    ) -> EdgeTerm:
        """Build from the options; `model` gives widths for heads and is not kept. scalars: as the class takes them."""
        return cls(options, streams, similarity, **scalars)

    @property
    def scale(self) -> Tensor:
        """The multiplied value, [1]."""
        if self.log_scale is None:
            raise LookupError(f"{type(self).__name__} has no scale")
        return at_least_fp32(self.log_scale).exp()

    @property
    def shift(self) -> Tensor | None:
        """The bias [1] in at least float32, or None."""
        return None if self.bias is None else at_least_fp32(self.bias)

    def forward(self, ctx: StepContext) -> dict[str, Tensor]:
        if ctx.count(*self.pair_streams) < self.min_rows:
            return self.nothing(ctx)
        found = self.shares(ctx, ctx.pair(*self.pair_streams, self.similarity))
        return {name: share.sum() for name, share in found.items()}

    def nothing(self, ctx: StepContext) -> dict[str, Tensor]:
        """Every component as 0, for a batch with too few complete rows."""
        return {name: self.zero(ctx) for name in self.components}

    def shares(self, ctx: StepContext, pair: Pair) -> dict[str, Tensor]:
        """This process's part of each component, so that the sum over processes is its global value."""
        raise NotImplementedError(f"{type(self).__name__} does not define shares")

    def after_step(self, ctx: StepContext | None = None) -> None:
        if self.scale_max is not None and self.log_scale is not None and self.log_scale.requires_grad:
            clamp_(self.log_scale, math.log(self.scale_max))


def cross_entropy_rows(logits: Tensor, columns: Tensor) -> Tensor:
    """Sum over rows of [R, N] logits of the cross entropy with each row's own column [R]."""
    return (logits.logsumexp(dim=1) - logits.gather(1, columns[:, None])[:, 0]).sum()


def columns_of(local: slice, device: torch.device) -> Tensor:
    return torch.arange(local.start, local.stop, device=device)
