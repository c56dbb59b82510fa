"""pointcloud/pointclip_v2: denser, smoother depth maps of a cloud, each through an image tower.

Zhu et al. 2023 (PointCLIP V2), arXiv 2211.11682.
"""

from __future__ import annotations

from torch import Tensor

from anyclip.towers import Tower
from anyclip_pointcloud.realistic_projection import RealisticProjection
from anyclip_pointcloud.tower_options_views import PointClipV2Options
from anyclip_pointcloud.view_tower import ViewTower


class PointClipV2Tower(ViewTower):
    """Ten views in 0..1 on white, without colour normalisation, as published."""

    def __init__(self, options: PointClipV2Options, *, image: Tower):
        super().__init__(options, image=image, views=10)
        self.project = RealisticProjection(
            size=options.resolution,
            depth=options.depth,
            kernel=options.kernel,
            smooth=options.smooth,
            sigma=options.sigma,
            fill=options.fill,
        )

    def pictures(self, points: Tensor) -> Tensor:
        return self.project(points)
