"""NT-Xent: two views of a sample attract, all other views of the batch repel.

Chen et al. 2020 (SimCLR), arXiv 2002.05709, equation 1; beside a contrastive loss across streams: Mu et al. 2021
(SLIP), arXiv 2112.12750.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from anyclip.losses import create_loss
from anyclip.losses.base import at_least_fp32
from anyclip.losses.infoloob import dot
from anyclip.model import JointModel
from anyclip.objectives.base import Objective, StepContext
from anyclip.objectives.heads import Head
from anyclip.objectives.options import NTXentOptions


class NTXent(Objective):
    """SupCon with every sample its own label, on heads of the tower's output for two views."""

    def __init__(self, options: NTXentOptions, width: int):
        super().__init__()
        self.options, self.streams = options, tuple(options.streams)
        self.head = None if options.head is None else Head(options.head, width)
        self.loss = create_loss("supcon", temperature=options.temperature, base_temperature=1.0)

    @classmethod
    def from_options(cls, options: NTXentOptions, *, model: JointModel) -> NTXent:
        return cls(options, model.tower(options.streams[0]).width)

    def forward(self, ctx: StepContext) -> dict[str, Tensor]:
        if ctx.count(*self.streams) < 2:
            return {"loss": self.zero(ctx)}
        rows = ctx.rows(*self.streams)
        a, b = ({"embedding": self._view(ctx, stream, rows)} for stream in self.streams)
        labels = torch.arange(len(rows), device=a["embedding"].device)
        return {"loss": self.loss.share(a, b, ctx.local(rows), score=dot, scale=1.0, labels=labels)}

    def _view(self, ctx: StepContext, stream: str, rows: Tensor) -> Tensor:
        """Unit projections of one view, of all processes."""
        x = ctx.encoding(stream).pooled
        x = x if self.head is None else self.head(x)
        return ctx.select(stream, F.normalize(at_least_fp32(x), dim=-1), rows)
