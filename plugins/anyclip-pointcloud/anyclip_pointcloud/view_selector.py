"""Learned cameras: a small network on the points moves each one.

Huang et al. 2023 (CLIP2Point), arXiv 2210.01055, section 3.2, after MVTN (arXiv 2011.13244). The network is our own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ViewSelector(nn.Module):
    """[B, N, 3] points, azimuths and elevations [V] in degrees -> both [B, V], moved by at most 180 / V and 90 degrees.

    The first weights of the last layer are 0: training starts at the given cameras.
    """

    def __init__(self, views: int, width: int):
        super().__init__()
        self.reach = (180.0 / views, 90.0)
        self.point = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.move = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2 * views))
        last = self.move[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, points: Tensor, azim: Tensor, elev: Tensor) -> tuple[Tensor, Tensor]:
        dtype = next(self.point.parameters()).dtype
        shape = self.point(points.to(dtype)).amax(dim=1)
        moved = torch.tanh(self.move(shape)).float()
        by_azim, by_elev = moved.chunk(2, dim=1)
        return azim + by_azim * self.reach[0], elev + by_elev * self.reach[1]
