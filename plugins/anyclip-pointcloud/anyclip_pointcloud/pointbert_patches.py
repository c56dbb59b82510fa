"""Point-BERT's tokens of a cloud: patches around spread centres through a mini PointNet (arXiv:2111.14819, 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anyclip_pointcloud.ops import farthest_point_sample, gather, group, knn

_NEAR_ORIGIN = 1e-3  # squared distance, of the operator pointnet2_ops


def patches(
    points: Tensor, extra: Tensor | None, groups: int, size: int, *, skip_origin: bool
) -> tuple[Tensor, Tensor]:
    """points [B, N, 3], extra [B, N, F] -> centres [B, G, 3] and patches [B, G, size, 3 + F].

    Centres are spread by farthest point sampling from point 0 on, a patch holds the points nearest to its centre;
    coordinates become relative to the centre, other channels stay. skip_origin: points within 0.032 of the origin are
    no centres (but point 0), as in the CUDA operator of the published code.
    """
    spread = points.detach().float()
    if skip_origin:  # at the place of the first centre a point is never the farthest
        near = spread.square().sum(dim=-1, keepdim=True) <= _NEAR_ORIGIN
        spread = torch.where(near, spread[:, :1], spread)
    centres = gather(points, farthest_point_sample(spread, groups))
    index = knn(centres, points, size)
    parts = [group(points, index, centres)]
    if extra is not None:
        parts.append(group(extra, index))
    return centres, torch.cat(parts, dim=-1)


class PatchEncoder(nn.Module):
    """Patches [B, G, M, C] -> tokens [B, G, width]; the order of a patch's points does not matter.

    Parameters: `first_conv.{0,1,3}`, `second_conv.{0,1,3}`, as published.
    """

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.first_conv = nn.Sequential(
            nn.Conv1d(channels, 128, 1), nn.BatchNorm1d(128), nn.ReLU(inplace=True), nn.Conv1d(128, 256, 1)
        )
        self.second_conv = nn.Sequential(
            nn.Conv1d(512, 512, 1), nn.BatchNorm1d(512), nn.ReLU(inplace=True), nn.Conv1d(512, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        rows, groups, size, _ = x.shape
        x = self.first_conv(x.flatten(0, 1).transpose(1, 2))
        whole = x.amax(dim=2, keepdim=True).expand(-1, -1, size)
        x = self.second_conv(torch.cat([whole, x], dim=1)).amax(dim=2)
        return x.reshape(rows, groups, -1)


def position_mlp(width: int) -> nn.Sequential:
    """Centres [.., 3] -> positions [.., width]."""
    return nn.Sequential(nn.Linear(3, 128), nn.GELU(), nn.Linear(128, width))
