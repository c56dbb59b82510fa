"""SimSiam: each view predicts the other; no negatives.

Chen & He 2021, arXiv 2011.10566, algorithm 1; on the image side of a joint model: Li et al. 2021 (DeCLIP), arXiv
2110.05208.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from anyclip.losses.base import at_least_fp32
from anyclip.model import JointModel
from anyclip.objectives.base import Objective, StepContext
from anyclip.objectives.heads import Head
from anyclip.objectives.options import SimSiamOptions


class SimSiam(Objective):
    """-1/2 [ mean cos(p1, z2) + mean cos(p2, z1) ], z = head(tower), p = predictor(z); no gradient through z there.

    LayerNorm stands where the paper has BatchNorm, whose statistics would depend on how a batch is cut.
    """

    def __init__(self, options: SimSiamOptions, width: int):
        super().__init__()
        self.options, self.streams = options, tuple(options.streams)
        self.head = None if options.head is None else Head(options.head, width)
        self.predictor = Head(options.predictor, width if self.head is None else self.head.dim)

    @classmethod
    def from_options(cls, options: SimSiamOptions, *, model: JointModel) -> SimSiam:
        return cls(options, model.tower(options.streams[0]).width)

    def forward(self, ctx: StepContext) -> dict[str, Tensor]:
        if not ctx.count(*self.streams):
            return {"loss": self.zero(ctx)}
        rows = ctx.rows(*self.streams)
        z1, z2 = (own_rows(ctx, stream, self._project(ctx.encoding(stream).pooled), rows) for stream in self.streams)
        terms = negative_cosine(self.predictor(z1), z2) + negative_cosine(self.predictor(z2), z1)
        return {"loss": terms.sum() / (2 * len(rows))}

    def _project(self, pooled: Tensor) -> Tensor:
        return pooled if self.head is None else self.head(pooled)


def negative_cosine(predicted: Tensor, target: Tensor) -> Tensor:
    """-cos of rows [n]; no gradient reaches the target."""
    return -F.cosine_similarity(at_least_fp32(predicted), at_least_fp32(target.detach()), dim=-1)


def own_rows(ctx: StepContext, stream: str, x: Tensor, rows: Tensor) -> Tensor:
    """Of this process's rows of a stream, those among some sorted global rows."""
    mine = rows[ctx.local(rows)]
    return x.index_select(0, torch.searchsorted(ctx.batch.rows(stream), mine).to(x.device))
