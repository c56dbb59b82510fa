"""pointcloud/pointclip: depth maps of a cloud, each through an image tower.

Zhang et al. 2022 (PointCLIP), arXiv 2112.02413.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from anyclip.towers import Tower
from anyclip_pointcloud.depth_projection import DepthProjection
from anyclip_pointcloud.inter_view_adapter import InterViewAdapter
from anyclip_pointcloud.tower_options_views import PointClipOptions
from anyclip_pointcloud.view_tower import ViewTower
from anyclip_pointcloud.views import SIX_VIEWS, TEN_VIEWS

_PLACES = {6: (SIX_VIEWS, 128, 1.6), 10: (TEN_VIEWS, 224, 1.4)}  # angles, canvas, distance


class PointClipTower(ViewTower):
    """Raw depths without colour normalisation, as published.

    Without adapter each view's features are on the unit sphere; with it all views together are one unit vector.
    """

    def __init__(self, options: PointClipOptions, *, image: Tower):
        super().__init__(options, image=image, views=options.views)
        angles, canvas, distance = _PLACES[options.views]
        self.project = DepthProjection(angles, size=options.canvas or canvas, distance=options.distance or distance)
        self.adapter = None
        if options.adapter == "inter_view":
            settings = {"residual": options.residual, "dropout": options.dropout}
            self.adapter = InterViewAdapter(options.views, image.width, **settings)

    def pictures(self, points: Tensor) -> Tensor:
        return self.project(points)

    def mixed(self, features: Tensor) -> Tensor:
        if self.adapter is None:
            return super().mixed(features)
        mixed = self.adapter(features)
        return F.normalize(mixed.flatten(1), dim=-1).view_as(mixed)
