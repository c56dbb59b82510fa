"""`pointcloud/pointmlp`: PointMLP (Ma et al., ICLR 2022, arXiv:2202.07123), residual MLPs on local groups."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from anyclip_pointcloud.ops import farthest_point_sample, gather
from anyclip_pointcloud.point_tower import PointTower
from anyclip_pointcloud.pointmlp_layers import ConvNormAct, Grouper, PosExtraction, PreExtraction, activation
from anyclip_pointcloud.tower_options_points import PointmlpOptions

_STAGE = ("local_grouper_list", "pre_blocks_list", "pos_blocks_list")


class PointmlpTower(PointTower):
    """`pooled` comes after the two layers behind the global maximum.

    Parameters: `model.<name in ULIP's point_encoder>`. Sampling starts at point 0; the published code draws the start
    anew in each call, evaluation included, which here the processor's random choice of points does in training.
    """

    def __init__(self, options: PointmlpOptions):
        model = PointMLP(options, 3 + self.extra_channels(options))
        blocks = [f"pos_blocks_list.{i}" for i in range(len(options.reducers))]
        super().__init__(model, options, width=options.width, blocks=blocks)

    def encode(self, points: Tensor, extra: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return self.model(points, extra), None

    def as_tokens(self, x: Any) -> Tensor:
        return x.transpose(1, 2)

    def layer_groups(self) -> list[list[str]]:
        """A stage has one module in each list."""
        own = [name for name, _ in self.named_parameters()]
        stages = [[f"model.{kind}.{i}" for kind in _STAGE] for i in range(len(self.blocks))]
        groups = [["model.embedding"], *stages, ["model.classifier"]]
        return [[p for p in group if any(n.startswith(f"{p}.") for n in own)] for group in groups]


class PointMLP(nn.Module):
    """points [B, N, 3], extra [B, N, F] -> [B, width]."""

    def __init__(self, options: PointmlpOptions, channels: int):
        super().__init__()
        self.counts, width = _thinned(options), options.embed_dim
        layer = {"bias": options.bias, "activation": options.activation}
        self.embedding = ConvNormAct(channels, width, **layer)
        self.local_grouper_list, self.pre_blocks_list, self.pos_blocks_list = (nn.ModuleList() for _ in _STAGE)
        layer["expansion"] = options.res_expansion
        for i in range(len(options.reducers)):
            grouper = Grouper(width, options.k_neighbors[i], use_xyz=options.use_xyz, normalize=options.affine)
            width *= options.dim_expansion[i]
            self.local_grouper_list.append(grouper)
            self.pre_blocks_list.append(PreExtraction(grouper.channels, width, options.pre_blocks[i], **layer))
            self.pos_blocks_list.append(PosExtraction(width, options.pos_blocks[i], **layer))
        sizes, parts = (width, 2 * options.width, options.width), []
        for a, b in pairwise(sizes):
            parts += [nn.Linear(a, b), nn.BatchNorm1d(b), activation(options.activation), nn.Dropout(options.dropout)]
        self.classifier = nn.Sequential(*parts)

    def forward(self, points: Tensor, extra: Tensor | None) -> Tensor:
        x = points if extra is None else torch.cat([points, extra], dim=-1)
        x = self.embedding(x.transpose(1, 2)).transpose(1, 2)  # [B, N, D]
        stages = zip(self.counts, self.local_grouper_list, self.pre_blocks_list, self.pos_blocks_list)
        for count, grouper, pre, pos in stages:
            chosen = farthest_point_sample(points, count)
            centres = gather(points, chosen)
            x = pos(pre(grouper(points, x, centres, gather(x, chosen)))).transpose(1, 2)
            points = centres
        return self.classifier(x.amax(dim=1))


def _thinned(options: PointmlpOptions) -> list[int]:
    """Points that each stage keeps."""
    counts = [options.start_points or options.points]
    for reducer in options.reducers:
        counts.append(max(1, counts[-1] // reducer))
    return counts[1:]
