"""`pointcloud/uni3d`: patches of points through a transformer of timm (Zhou et al., ICLR 2024, arXiv:2310.06773)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers import PatchDropout
from torch import Tensor, nn

from anyclip.errors import UserError, did_you_mean
from anyclip_pointcloud.point_tower import PointTower
from anyclip_pointcloud.pointbert_patches import PatchEncoder, patches, position_mlp
from anyclip_pointcloud.tower_options_points import Uni3dOptions

SIZES = {
    "tiny": "eva02_tiny_patch14_224",
    "small": "eva02_small_patch14_224",
    "base": "eva02_base_patch14_448",
    "large": "eva02_large_patch14_448",
    "giant": "eva_giant_patch14_560",
}
UNUSED = ("patch_embed", "cls_token", "pos_embed", "reg_token", "norm_pre", "rope", "head", "attn_pool")
"""Parts of the image transformer that no point goes through; they hold the tensors that an importer leaves out."""


class Uni3dTower(PointTower):
    """`pooled` is the class token after the final norms; `output: projected` also goes through `trans2embed`.

    Parameters: `model.<name in Uni3D's point_encoder>`, without those of the image input (`UNUSED`). The blocks run
    without their rotary positions, as published.
    """

    def __init__(self, options: Uni3dOptions, *, load_weights: bool = True):
        model = Uni3D(options, 3 + self.extra_channels(options), load_weights=load_weights)
        blocks = [f"visual.blocks.{i}" for i in range(len(model.visual.blocks))]
        super().__init__(model, options, width=model.width, blocks=blocks, tail=("visual", "trans2embed"))

    @classmethod
    def from_options(cls, options, *, refs=None, assets=None, load_weights=True):
        return cls(options, load_weights=load_weights)

    def encode(self, points: Tensor, extra: Tensor | None) -> tuple[Tensor, Tensor | None]:
        tokens = self.model(points, extra)
        return tokens[:, 0], tokens


class Uni3D(nn.Module):
    """points [B, N, 3], extra [B, N, F] -> class token and patch tokens [B, 1 + G, width]."""

    def __init__(self, options: Uni3dOptions, channels: int, *, load_weights: bool):
        super().__init__()
        self.groups, self.size, self.skip_origin = options.num_group, options.group_size, options.skip_origin
        self.visual: Any = _transformer(options, load_weights)
        inner = self.visual.embed_dim
        self.encoder = PatchEncoder(channels, options.encoder_dim)
        self.encoder2trans = nn.Linear(options.encoder_dim, inner)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, inner))
        self.cls_pos = nn.Parameter(torch.randn(1, 1, inner))
        self.pos_embed = position_mlp(inner)
        self.patch_dropout = PatchDropout(options.patch_dropout) if options.patch_dropout else nn.Identity()
        self.width = options.dim if options.output == "projected" else inner
        self.trans2embed = nn.Linear(inner, self.width) if options.output == "projected" else nn.Identity()

    def forward(self, points: Tensor, extra: Tensor | None) -> Tensor:
        centres, grouped = patches(points, extra, self.groups, self.size, skip_origin=self.skip_origin)
        x = self.encoder2trans(self.encoder(grouped))
        x = torch.cat([self.cls_token.expand(len(x), -1, -1).to(x.dtype), x], dim=1)
        positions = self.pos_embed(centres)
        x = x + torch.cat([self.cls_pos.expand(len(x), -1, -1).to(positions.dtype), positions], dim=1)
        x = self.visual.pos_drop(self.patch_dropout(x))
        for block in self.visual.blocks:
            x = block(x)
        return self.trans2embed(self.visual.fc_norm(self.visual.norm(x)))


def _transformer(options: Uni3dOptions, load_weights: bool) -> nn.Module:
    """A vision transformer of timm without the parts that `UNUSED` names."""
    name = options.model or SIZES[options.size]
    if not timm.is_model(name):
        raise UserError(f"model: timm has no {name!r}.", hint=did_you_mean(name.split(".")[0], timm.list_models()))
    weights = _weights(options) if load_weights else {}
    try:
        model: Any = timm.create_model(name, num_classes=0, drop_path_rate=options.drop_path, **options.args, **weights)
    except (TypeError, AssertionError, ValueError) as error:
        raise UserError(f"args: timm's {name} cannot be built so: {error or type(error).__name__}.") from error
    except (OSError, RuntimeError) as error:
        raise UserError(f"pretrained: the weights of {name} cannot be loaded: {error}") from error
    if not all(hasattr(model, part) for part in ("blocks", "pos_drop", "norm", "fc_norm", "embed_dim")):
        raise UserError(f"model: {name} is no plain vision transformer.", hint="Take one of timm's vit_* or eva*.")
    for part in UNUSED:
        if hasattr(model, part):
            setattr(model, part, nn.Identity() if part == "patch_embed" else None)
    return model


def _weights(options: Uni3dOptions) -> dict[str, Any]:
    """Arguments of `create_model` that load weights."""
    if not isinstance(options.pretrained, str):
        return {"pretrained": options.pretrained}
    if not Path(options.pretrained).is_file():
        raise UserError(f"pretrained: there is no file {options.pretrained}.", hint="Give a file, true or false.")
    return {"pretrained": True, "pretrained_cfg_overlay": {"file": options.pretrained}}
