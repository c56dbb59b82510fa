"""What the adapters of views share: all views of a cloud as one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GlobalFeature(nn.Module):
    """[B, V, W] -> [B, W]: views weighted by a learned ratio, normalised, side by side through one layer."""

    def __init__(self, views: int, width: int, dropout: float):
        super().__init__()
        self.ratio = nn.Parameter(torch.full((views,), 0.5))
        self.view_norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(dropout)
        self.mix = nn.Linear(views * width, width)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, features: Tensor) -> Tensor:
        weighted = features * self.ratio[None, :, None]
        normed = self.view_norm(weighted.flatten(0, 1)).view_as(weighted)
        return self.dropout(self.norm(self.mix(self.dropout(normed).flatten(1))).relu())
