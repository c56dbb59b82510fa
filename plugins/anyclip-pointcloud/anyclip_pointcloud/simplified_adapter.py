"""CLIP2Point's adapter: all views of one encoder become one vector; a path of its dual-path adapter has one.

Huang et al. 2023 (CLIP2Point), arXiv 2210.01055, section 3.4.
"""

from __future__ import annotations

from torch import Tensor, nn

from anyclip_pointcloud.view_adapters import GlobalFeature


class SimplifiedAdapter(nn.Module):
    """[B, V, W] raw features of the views -> [B, W]."""

    def __init__(self, views: int, width: int, *, dropout: float = 0.075):
        super().__init__()
        self.seen = GlobalFeature(views, width, dropout)
        self.out = nn.Linear(width, width)

    def forward(self, features: Tensor) -> Tensor:
        return self.out(self.seen(features))
