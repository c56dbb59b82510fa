"""Two views of a stream attract each other, and their mean attracts another stream.

The pre-training of depth maps with pictures: Huang et al. 2023 (CLIP2Point), arXiv 2210.01055, section 3.3; the learned
balance of the two terms after Kendall et al. 2018, arXiv 1705.07115.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anyclip.losses import create_loss
from anyclip.losses.base import at_least_fp32
from anyclip.losses.infoloob import dot
from anyclip.objectives.base import Objective, StepContext
from anyclip.objectives.options import PairedViewsOptions


class PairedViews(Objective):
    """NT-Xent(mean of the views, other) + NT-Xent(view, view) / w^2 + log(w + 1), with w learned from 1.

    On the features of complete rows. The shares are the three terms, as they add up.
    """

    def __init__(self, options: PairedViewsOptions):
        super().__init__()
        self.options, self.streams = options, (*options.streams, options.other_stream)
        self.loss = create_loss("supcon", temperature=options.temperature, base_temperature=1.0)
        self.balance = nn.Parameter(torch.ones(1)) if options.balance else None

    def forward(self, ctx: StepContext) -> dict[str, Tensor]:
        names = ("other", "views", "balance") if self.balance is not None else ("other", "views")
        if ctx.count(*self.streams) < 2:
            return {name: self.zero(ctx) for name in names}
        rows = ctx.rows(*self.streams)
        local = ctx.local(rows)
        first, second, other = (ctx.select(s, at_least_fp32(ctx.features(s)), rows) for s in self.streams)
        found = {
            "other": self._contrast((first + second) / 2, other, local),
            "views": self._contrast(first, second, local),
        }
        if self.balance is not None:
            weight = at_least_fp32(self.balance)[0]
            found["views"] = found["views"] / weight**2
            found["balance"] = (weight + 1).log() * ((local.stop - local.start) / len(rows))
        return found

    def _contrast(self, a: Tensor, b: Tensor, local: slice) -> Tensor:
        views, others = ({"embedding": F.normalize(x, dim=-1)} for x in (a, b))
        labels = torch.arange(len(a), device=a.device)
        return self.loss.share(views, others, local, score=dot, scale=1.0, labels=labels)
