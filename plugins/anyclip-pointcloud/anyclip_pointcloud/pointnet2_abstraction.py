"""Set abstraction of PointNet++ (Qi et al., NeurIPS 2017): a small PointNet in balls around spread centres."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anyclip_pointcloud.ops import ball_query, farthest_point_sample, gather, group


class SetAbstraction(nn.Module):
    """points [B, N, 3], features [B, N, F] or None -> centres [B, S, 3] and features [B, S, C], one ball per centre.

    count None: the whole cloud is one group, with raw coordinates; centres are then None. Names of the parameters:
    `mlp_convs.i`, `mlp_bns.i`.
    """

    def __init__(self, count: int | None, radius: float, size: int, channels: int, widths: Sequence[int]):
        super().__init__()
        self.count, self.radius, self.size = count, radius, size
        self.mlp_convs, self.mlp_bns = layers_of(3 + channels, widths)

    def forward(self, points: Tensor, features: Tensor | None) -> tuple[Tensor | None, Tensor]:
        if self.count is None:
            centres = None
            parts = [points[:, None]] + ([] if features is None else [features[:, None]])
        else:
            centres = gather(points, farthest_point_sample(points, self.count))
            near = ball_query(self.radius, self.size, points, centres)
            parts = [group(points, near, centres)]
            parts += [] if features is None else [group(features, near)]
        return centres, pooled(torch.cat(parts, dim=-1), self.mlp_convs, self.mlp_bns)


class MultiScaleAbstraction(nn.Module):
    """The same with balls of several radii around each centre, whose features stand side by side.

    A group's features come BEFORE its coordinates, unlike in `SetAbstraction`: the published weights are so. Names:
    `conv_blocks.i.j`, `bn_blocks.i.j`.
    """

    def __init__(
        self,
        count: int,
        radii: Sequence[float],
        sizes: Sequence[int],
        channels: int,
        widths: Sequence[Sequence[int]],
    ):
        super().__init__()
        self.count, self.radii, self.sizes = count, tuple(radii), tuple(sizes)
        built = [layers_of(3 + channels, w) for w in widths]
        self.conv_blocks = nn.ModuleList(convs for convs, _ in built)
        self.bn_blocks = nn.ModuleList(norms for _, norms in built)

    def forward(self, points: Tensor, features: Tensor | None) -> tuple[Tensor, Tensor]:
        centres = gather(points, farthest_point_sample(points, self.count))
        found = []
        for radius, size, convs, norms in zip(self.radii, self.sizes, self.conv_blocks, self.bn_blocks):
            near = ball_query(radius, size, points, centres)
            parts = [] if features is None else [group(features, near)]
            parts.append(group(points, near, centres))
            found.append(pooled(torch.cat(parts, dim=-1), convs, norms))  # type: ignore[arg-type]
        return centres, torch.cat(found, dim=-1)


def layers_of(channels: int, widths: Sequence[int]) -> tuple[nn.ModuleList, nn.ModuleList]:
    """1 x 1 convolutions and their norms."""
    sizes = [channels, *widths]
    convs = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(sizes))
    return convs, nn.ModuleList(nn.BatchNorm2d(width) for width in widths)


def pooled(x: Tensor, convs: nn.ModuleList, norms: nn.ModuleList) -> Tensor:
    """Groups [B, S, K, C] through the layers, then the maximum over a group: [B, S, C']."""
    x = x.permute(0, 3, 2, 1)  # [B, C, K, S]
    for conv, norm in zip(convs, norms):
        x = F.relu(norm(conv(x)))
    return x.amax(dim=2).transpose(1, 2)
