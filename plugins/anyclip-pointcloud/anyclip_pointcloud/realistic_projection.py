"""PointCLIP V2's depth maps: voxels, made dense, smoothed, and squeezed along the depth.

Zhu et al. 2023 (PointCLIP V2), arXiv 2211.11682, section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anyclip_pointcloud.views import TILTED_VIEWS, TILTS, apply, rotation

_LIFT = 0.2  # share of the depth that is added, so that the farthest point differs from the background
_SHIFT = (0.5, 0.5, 1.5)  # undone by the centring, but it rounds the points as in the origin


class RealisticProjection(nn.Module):
    """[B, N, 3] points -> [B, V, size - 2, size - 2] in 0..1: white background, what is near dark.

    angles, tilts: Euler angles of each view's first and second rotation, in radians. size: cells of a side of the
    voxel grid; depth: its cells along the line of sight. kernel: width of the maximum that closes gaps between points
    (odd); smooth, sigma: width and standard deviation of the Gaussian. fill: share of the picture that the cloud takes.
    """

    def __init__(
        self,
        angles: Sequence[Sequence[float]] = TILTED_VIEWS,
        tilts: Sequence[Sequence[float]] = TILTS,
        *,
        size: int = 112,
        depth: int = 8,
        kernel: int = 7,
        smooth: int = 3,
        sigma: float = 3.0,
        fill: float = 0.8,
    ):
        super().__init__()
        self.size, self.depth, self.kernel, self.smooth, self.fill = size, depth, kernel, smooth, fill
        self.turn = rotation(angles).transpose(1, 2)  # no buffers: they stay float32 in a model of bf16
        self.tilt = rotation(tilts).transpose(1, 2)
        place = torch.arange(smooth) - (smooth - 1) / 2
        bell = torch.exp(-(place**2) / (2 * sigma**2))
        gauss = bell[:, None] * bell[None]
        self.gauss = (gauss / gauss.sum())[None, None]

    def forward(self, points: Tensor) -> Tensor:
        return self.squeeze(self.densify(self.voxels(points)))

    def voxels(self, points: Tensor) -> Tensor:
        """[B, N, 3] -> [B, V, depth, rows, columns]: the largest depth value of a cell, 0 where it is empty."""
        turned = apply(apply(points.float()[:, None], self.turn.to(points.device)), self.tilt.to(points.device))
        turned = turned + turned.new_tensor(_SHIFT)
        low, high = turned.amin(dim=2, keepdim=True), turned.amax(dim=2, keepdim=True)
        side = (high - low).amax(dim=3, keepdim=True)
        turned = (turned - (low + high) / 2) / torch.where(side == 0, 1.0, side) * 2
        row, column = (
            ((turned[..., k] * self.fill + 1) / 2 * self.size).ceil().clamp(1, self.size - 2) for k in (0, 1)
        )
        value = ((turned[..., 2] + 1) / 2 + _LIFT) / (1 + _LIFT) * (self.depth - 2)
        plane = value.ceil().clamp(1, self.depth - 2)
        cell = ((plane * self.size + row) * self.size + column).long().flatten(0, 1)
        value = value.clamp(1, self.depth - 2).flatten(0, 1)
        grid = value.new_zeros(len(cell), self.depth * self.size**2).scatter_reduce(1, cell, value, "amax")
        return grid.view(len(points), -1, self.depth, self.size, self.size)

    def densify(self, grid: Tensor) -> Tensor:
        """The largest value around each cell of a plane; a row and a column fewer at each border."""
        flat = F.max_pool2d(grid.flatten(0, 1), self.kernel, stride=1, padding=self.kernel // 2 - 1)
        return flat.view(*grid.shape[:3], *flat.shape[-2:])

    def squeeze(self, grid: Tensor) -> Tensor:
        """Smooth each plane, take the largest along the depth, and scale each picture to 0..1, turned to negative."""
        planes = grid.flatten(0, 2)[:, None]
        planes = F.conv2d(planes, self.gauss.to(planes.device), padding=self.smooth // 2).view_as(grid)
        found = planes.amax(dim=2)
        return 1 - found / found.amax(dim=(-2, -1), keepdim=True)
