"""`pointcloud/pointbert`: the point transformer of Point-BERT (arXiv:2111.14819) as ULIP and ULIP-2 use it."""

from __future__ import annotations

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from anyclip_pointcloud.point_tower import PointTower
from anyclip_pointcloud.pointbert_patches import PatchEncoder, patches, position_mlp
from anyclip_pointcloud.tower_options_points import PointbertOptions


class PointbertTower(PointTower):
    """`pooled` is the class token beside the maximum over the patches, 2 x trans_dim wide, or one of the two.

    `tokens` are the class token and the patches; they are there when `pooled` is as wide as they are. Parameters:
    `model.<name in ULIP's point_encoder>`.
    """

    def __init__(self, options: PointbertOptions):
        model = PointBert(options, 3 + self.extra_channels(options))
        width = 2 * options.trans_dim if options.feature == "concat" else options.trans_dim
        blocks = [f"blocks.blocks.{i}" for i in range(options.depth)]
        super().__init__(model, options, width=width, blocks=blocks, tail=("norm",))
        self.feature = options.feature

    def encode(self, points: Tensor, extra: Tensor | None) -> tuple[Tensor, Tensor | None]:
        tokens = self.model(points, extra)
        first, most = tokens[:, 0], tokens[:, 1:].amax(dim=1)
        if self.feature == "concat":
            return torch.cat([first, most], dim=-1), None
        return (first if self.feature == "cls" else most), tokens


class PointBert(nn.Module):
    """points [B, N, 3], extra [B, N, F] -> class token and patch tokens [B, 1 + G, W] after the final norm."""

    def __init__(self, options: PointbertOptions, channels: int):
        super().__init__()
        width = options.trans_dim
        self.groups, self.size, self.skip_origin = options.num_group, options.group_size, options.skip_origin
        self.encoder = PatchEncoder(channels, options.encoder_dims)
        self.reduce_dim = nn.Linear(options.encoder_dims, width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.cls_pos = nn.Parameter(torch.randn(1, 1, width))
        self.pos_embed = position_mlp(width)
        self.blocks = _Blocks(options)
        self.norm = nn.LayerNorm(width)
        self.apply(_first_weights)
        for parameter in (self.cls_token, self.cls_pos):
            nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, points: Tensor, extra: Tensor | None) -> Tensor:
        centres, grouped = patches(points, extra, self.groups, self.size, skip_origin=self.skip_origin)
        x = self.reduce_dim(self.encoder(grouped))
        x = torch.cat([self.cls_token.expand(len(x), -1, -1).to(x.dtype), x], dim=1)
        positions = self.pos_embed(centres)
        positions = torch.cat([self.cls_pos.expand(len(x), -1, -1).to(positions.dtype), positions], dim=1)
        return self.norm(self.blocks(x, positions))


class _Blocks(nn.Module):
    """The positions are added before EVERY block, unlike in other vision transformers."""

    def __init__(self, options: PointbertOptions):
        super().__init__()
        rates = torch.linspace(0, options.drop_path, options.depth).tolist()
        self.blocks = nn.ModuleList(
            Block(options.trans_dim, options.num_heads, drop_path=rate, norm_layer=nn.LayerNorm) for rate in rates
        )

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x + positions)
        return x


def _first_weights(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Conv1d)):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
