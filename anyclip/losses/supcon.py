"""SupCon: every other row of the same label is a positive, within a stream and across the two.

Khosla et al. 2020, arXiv 2004.11362, equation 2. With all labels distinct it is NT-Xent (Chen et al. 2020, SimCLR,
arXiv 2002.05709).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from anyclip.losses.base import Loss, Prepared, Score, at_least_fp32, both_directions
from anyclip.losses.infoloob import dot
from anyclip.losses.options import SupConOptions


class SupCon(Loss):
    """-1/base_temperature * mean over the 2N anchors of the mean over their positives of log softmax over all others.

    fields: `labels` [N]. The logits are scale / temperature * scores.
    """

    default_scale = 1.0
    min_rows = 2
    fields = ("labels",)

    def __init__(self, options: SupConOptions | None = None):
        super().__init__(options or SupConOptions())

    def forward(self, a: Tensor, b: Tensor, *, scale: Tensor | float | None = None, **settings: Any) -> Tensor:
        if a.ndim != 2 or a.shape != b.shape:
            raise ValueError(f"a loss takes two [N, E] tensors of one shape, got {list(a.shape)} and {list(b.shape)}")
        first, second = ({"embedding": at_least_fp32(x)} for x in (a, b))
        scale = self.default_scale if scale is None else scale
        with torch.autocast(a.device.type, enabled=False):
            return self.share(first, second, slice(0, len(a)), score=dot, scale=scale, **settings)

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
        """Own anchors of both streams against all rows of both: [2 n_local, 2N] scores."""
        a, b = self.prepare(a), self.prepare(b)
        every = {name: torch.cat([a[name], b[name]]) for name in a}
        own = {name: torch.cat([x[local] for x in (a[name], b[name])]) for name in a}
        logits = both_directions(score(own, every))[0] * (scale / self.options.temperature)
        labels = fields["labels"]
        n = len(labels)
        rows = torch.arange(local.start, local.stop, device=logits.device)
        itself = torch.cat([rows, rows + n])[:, None] == torch.arange(2 * n, device=logits.device)[None]
        logits = logits.masked_fill(itself, -math.inf)
        same = (torch.cat([labels[local]] * 2)[:, None] == torch.cat([labels] * 2)[None]) & ~itself
        found = (logits.masked_fill(~same, 0.0) * same).sum(dim=1) / same.sum(dim=1)  # the other stream's row: never 0
        return (logits.logsumexp(dim=1) - found).sum() / (2 * n) / self.options.base_temperature
