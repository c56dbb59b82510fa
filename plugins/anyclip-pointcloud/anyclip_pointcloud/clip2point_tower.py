"""pointcloud/clip2point: rendered depth maps through an encoder that was pre-trained on depth maps.

Huang et al. 2023 (CLIP2Point), arXiv 2210.01055. `configs/recipes/clip2point.yaml` pre-trains the encoder.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anyclip.towers import Encoding, Tower
from anyclip_pointcloud.depth_render import DepthRender
from anyclip_pointcloud.simplified_adapter import SimplifiedAdapter
from anyclip_pointcloud.tower_options_views import Clip2PointOptions
from anyclip_pointcloud.view_selector import ViewSelector
from anyclip_pointcloud.view_tower import ViewTower
from anyclip_pointcloud.views import CAMERAS_6, CAMERAS_10

_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's colours


class Clip2PointTower(ViewTower):
    """Depth maps in CLIP's colours. With adapters: the mean of one vector of each path, no tokens."""

    def __init__(self, options: Clip2PointOptions, *, image: Tower, original: Tower | None = None):
        cameras = _cameras(options)
        super().__init__(options, image=image, views=len(cameras[0]))
        self.distance, self.jitter, self.unit = options.distance, options.jitter_distance, options.unit
        self.azim, self.elev = (torch.tensor(angles, dtype=torch.float32) for angles in cameras)  # no buffers: float32
        self.selector = ViewSelector(self.views, options.selector) if options.selector else None
        self.render = DepthRender(size=self.size, radius=options.radius, turn=options.turn)
        self.original = original
        if options.original is not None:
            self._own["original"] = options.original.ref is None
        self.adapters = nn.ModuleDict()
        for path, tower in (("image", image), ("original", original)):
            if options.adapter and tower is not None:
                self.adapters[path] = SimplifiedAdapter(self.views, tower.width, dropout=options.dropout)

    def pictures(self, points: Tensor) -> Tensor:
        azim, elev = (x.to(points.device).expand(len(points), -1) for x in (self.azim, self.elev))
        if self.selector is not None:
            azim, elev = self.selector(points, azim, elev)
        return self.render(points, azim, elev, self._distances(azim))

    def _distances(self, like: Tensor) -> Tensor:
        """[B, V]; in training each cloud has its own."""
        distance = torch.full_like(like, self.distance)
        if self.training and self.jitter:
            distance = distance * (1 + self.jitter * (2 * torch.rand_like(distance[:, :1]) - 1))
        return distance

    def shown(self, pictures: Tensor) -> Tensor:
        mean, std = (pictures.new_tensor(x)[:, None, None] for x in (_MEAN, _STD))
        return (super().shown(pictures) - mean) / std

    def mixed(self, features: Tensor) -> Tensor:
        return super().mixed(features) if self.unit else features

    def forward(self, inputs) -> Encoding:
        if not self.adapters:
            return super().forward(inputs)
        points = inputs["points"] if isinstance(inputs, dict) else inputs
        with torch.autocast(points.device.type, enabled=False):
            shown = self.shown(self.pictures(points))
        paths = [self.adapters["image"](self.seen_by(self.image, shown))]
        if self.original is not None:
            paths.append(self.adapters["original"](self.seen_by(self.original, shown)))
        return Encoding(pooled=torch.stack(paths).mean(dim=0))


def _cameras(options: Clip2PointOptions) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Azimuths and elevations of the views."""
    if isinstance(options.views, list):
        azim, elev = zip(*options.views)
        return azim, elev
    return {6: CAMERAS_6, 10: CAMERAS_10}[options.views]
