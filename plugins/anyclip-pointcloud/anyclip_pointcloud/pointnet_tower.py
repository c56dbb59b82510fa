"""`pointcloud/pointnet`: layers that all points share, then a maximum (Qi et al., CVPR 2017), without T-nets."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from anyclip_pointcloud.point_tower import PointTower
from anyclip_pointcloud.tower_options_points import PointnetOptions


class PointnetTower(PointTower):
    """Small and quick. Parameters: `model.<layer>.{0,1}`, a linear layer and its norm."""

    def __init__(self, options: PointnetOptions):
        sizes = [3 + self.extra_channels(options), *options.channels]
        layers = [
            nn.Sequential(nn.Linear(a, b, bias=False), _PointNorm(b), nn.ReLU(inplace=True)) for a, b in pairwise(sizes)
        ]
        width = sizes[-1] * (2 if options.feature == "max+mean" else 1)
        blocks = [str(i) for i in range(len(layers))]
        super().__init__(nn.Sequential(*layers), options, width=width, blocks=blocks)
        self.dropout, self.mean = nn.Dropout(options.dropout), options.feature == "max+mean"

    def encode(self, points: Tensor, extra: Tensor | None) -> tuple[Tensor, Tensor | None]:
        x = self.model(points if extra is None else torch.cat([points, extra], dim=-1))
        pooled = torch.cat([x.amax(dim=1), x.mean(dim=1)], dim=-1) if self.mean else x.amax(dim=1)
        return self.dropout(pooled), None


class _PointNorm(nn.BatchNorm1d):
    """Batch norm over clouds and points of [B, N, C]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, 1)).view_as(x)
