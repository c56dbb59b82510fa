"""PointCLIP's depth maps: points fall onto a canvas in perspective; a pixel is the harmonic mean of its depths.

Zhang et al. 2022 (PointCLIP), arXiv 2112.02413, section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from anyclip_pointcloud.views import apply, rotation

_EPS = 1e-12


class DepthProjection(nn.Module):
    """[B, N, 3] points around the origin -> [B, V, size, size] raw depths, empty pixels 0.

    angles: Euler angles of each view, in radians. distance: how far the camera stands from the origin; a cloud of
    radius 1 has depths around it.
    """

    def __init__(self, angles: Sequence[Sequence[float]], *, size: int, distance: float):
        super().__init__()
        self.size, self.distance = size, distance
        self.turn = rotation(angles).transpose(1, 2)  # no buffer: it stays float32 in a model of bf16

    def forward(self, points: Tensor) -> Tensor:
        size = self.size
        turned = apply(points.float()[:, None], self.turn.to(points.device))
        z = turned[..., 2] + self.distance
        row, column = (((turned[..., k] / (z + _EPS) + 1) * size / 2 - 0.5).ceil() for k in (0, 1))
        seen = (row >= 0) & (row < size) & (column >= 0) & (column < size) & (z >= 0)
        pixel = torch.where(seen, row * size + column, 0).long().flatten(0, 1)
        weight = torch.where(seen, 1 / (z + _EPS), 0).flatten(0, 1)
        empty = weight.new_zeros(len(weight), size * size)
        depths = empty.scatter_add(1, pixel, weight * z.flatten(0, 1))
        weights = empty.scatter_add(1, pixel, weight)
        found = depths / torch.where(weights == 0, 1.0, weights)
        return found.view(len(points), -1, size, size)
