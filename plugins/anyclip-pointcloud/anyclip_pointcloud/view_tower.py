"""What the towers share that show pictures of a cloud to an image tower: sizes, view weights, references, assets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anyclip.errors import UserError
from anyclip.specs import TowerPart
from anyclip.towers import Encoding, Tower, create_inner_tower
from anyclip_pointcloud.processor import PointProcessor
from anyclip_pointcloud.tower_options_views import ViewOptions
from anyclip_pointcloud.views import VIEW_WEIGHTS


class ViewTower(Tower):
    """Base of the towers around an image tower. Inputs are {"points": float [B, N, 3]}.

    `tokens` are the views' features [B, V, W], `pooled` is their weighted sum. image: the image tower, a submodule even
    when it is another stream's.
    """

    modality = "pointcloud"
    processor: PointProcessor
    view_weights: Tensor

    def __init__(self, options: ViewOptions, *, image: Tower, views: int):
        super().__init__()
        self.processor = PointProcessor(options)
        self.image, self.width, self.views = image, image.width, views
        self.size = options.image_size or pixels_of(image)
        self._own = {"image": options.image.ref is None}
        given = options.view_weights
        weights = torch.tensor(VIEW_WEIGHTS[given] if isinstance(given, str) else given or [1.0] * views)
        if options.learn_weights:
            self.view_weights = nn.Parameter(weights)
        else:
            self.register_buffer("view_weights", weights, persistent=False)

    @classmethod
    def from_options(cls, options, *, refs=None, assets=None, load_weights=True):
        """Build the image towers, or take those of other streams."""
        settings: dict[str, Any] = {"refs": refs, "assets": assets, "load_weights": load_weights}
        inner = {
            name: create_inner_tower(part, at=name, **settings)
            for name, part in vars(options).items()
            if isinstance(part, TowerPart)
        }
        build: Any = cls  # subclasses take the towers that their options name
        return build(options, **inner)

    def pictures(self, points: Tensor) -> Tensor:
        """[B, N, 3] -> pictures of the views, [B, V, H, W] in float32."""
        raise NotImplementedError

    def forward(self, inputs: Any) -> Encoding:
        points = inputs["points"] if isinstance(inputs, dict) else inputs
        with torch.autocast(points.device.type, enabled=False):  # a pixel more or less is a large step in bf16
            shown = self.shown(self.pictures(points))
        features = self.mixed(self.seen_by(self.image, shown))
        weights = self.view_weights.to(features.dtype)
        mask = torch.ones(features.shape[:2], dtype=torch.bool, device=features.device)
        return Encoding(pooled=(features * weights[None, :, None]).sum(dim=1), tokens=features, mask=mask)

    def shown(self, pictures: Tensor) -> Tensor:
        """Pictures [B, V, H, W] as the image tower gets them: [B, V, 3, size, size]."""
        if pictures.shape[-1] != self.size:
            pictures = F.interpolate(pictures, size=(self.size, self.size), mode="bilinear", align_corners=True)
        return pictures[:, :, None].expand(-1, -1, 3, -1, -1)

    def seen_by(self, image: Tower, shown: Tensor) -> Tensor:
        """Raw features [B, V, W] of the pictures [B, V, 3, H, W]."""
        dtype = next((p.dtype for p in image.parameters()), shown.dtype)
        return image({"pixels": shown.flatten(0, 1).to(dtype)}).pooled.view(*shown.shape[:2], -1)

    def mixed(self, features: Tensor) -> Tensor:
        """What becomes of raw features [B, V, W] before they are weighted; here: the unit sphere."""
        return F.normalize(features, dim=-1)

    def layer_groups(self) -> list[list[str]]:
        """Those of the image tower, and a last one with everything else."""
        groups = [[f"image.{prefix}" for prefix in group] for group in self.image.layer_groups()]
        rest = [name for name, _ in self.named_parameters() if not name.startswith("image.")]
        return [*groups, rest] if groups and rest else groups

    def save_assets(self, folder: Path) -> None:
        """The files of its own image towers, each in a sub-folder; another stream's saves its own."""
        for name, own in self._own.items():
            if own:
                (folder / name).mkdir(parents=True, exist_ok=True)
                cast(Tower, self.get_submodule(name)).save_assets(folder / name)


def pixels_of(image: Tower) -> int:
    """Pixels of a side of what an image tower sees. Raises UserError for a tower that takes no square pixels."""
    placeholder = image.processor.collate([image.processor.placeholder()])
    shape: Sequence[int] = ()
    if isinstance(placeholder, dict) and isinstance(placeholder.get("pixels"), Tensor):
        shape = placeholder["pixels"].shape
    if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3]:
        found = f"pixels of shape {list(shape)}" if shape else "other inputs"
        raise UserError(
            f"the tower that shall see the views takes {found}, not square pictures [B, 3, S, S].",
            hint="Name an image tower, or set image_size of the image tower to one number.",
        )
    return shape[2]
