"""PointCLIP's inter-view adapter: what all views see together is added back to each.

Zhang et al. 2022 (PointCLIP), arXiv 2112.02413, section 3.3.
"""

from __future__ import annotations

from torch import Tensor, nn

from anyclip_pointcloud.view_adapters import GlobalFeature


class InterViewAdapter(nn.Module):
    """[B, V, W] raw features of the views -> the same, mixed: `residual` of the adapted, the rest of the original."""

    def __init__(self, views: int, width: int, *, residual: float = 0.6, dropout: float = 0.075):
        super().__init__()
        self.residual = residual
        self.seen = GlobalFeature(views, width, dropout)
        self.deepen = nn.Linear(width, width)
        self.spread = nn.Linear(width, views * width)

    def forward(self, features: Tensor) -> Tensor:
        adapted = self.spread(self.deepen(self.seen(features)).relu()).relu().view_as(features)
        return adapted * self.residual + features * (1 - self.residual)
