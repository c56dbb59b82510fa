"""Options of the towers that look at pictures of a cloud (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from anyclip.specs import TowerPart
from anyclip_pointcloud.options import PointOptions, Positive, Share

Weight = Annotated[float, Ge(0)]


def _clip() -> TowerPart:
    return TowerPart(name="image/open_clip", options={"output": "projected"})


@dataclass(kw_only=True)
class ViewOptions(PointOptions):
    """What every tower around an image encoder understands."""

    image: TowerPart = field(default_factory=_clip)
    """The image tower that sees each view: another stream's (`{ref: image}`: shared, trained and saved once) or one of
    its own (`{name: image/open_clip, options: {...}}`)."""
    image_size: Positive | None = None
    """Pixels of a view's side as the image tower sees it. Default: the image tower's own."""
    view_weights: str | list[Weight] | None = None
    """Weight of each view; a list, or the name of a published one (`modelnet40_vit_b16`, PointCLIP V2). Default:
    equal. The evaluation `zero_shot_search` finds some on your own data."""
    learn_weights: bool = False
    """Train the weights of the views."""

    def check_views(self, views: int, published: bool = False) -> None:
        """Raise ValueError for weights that do not fit so many views, and for what no view shows."""
        if self.colors or self.normals:
            raise ValueError(f"{'colors' if self.colors else 'normals'} do nothing: depth maps show points alone")
        if isinstance(self.view_weights, str):
            names = PUBLISHED if published else ()
            if self.view_weights not in names:
                known = ", ".join(names) or "none, give a list"
                raise ValueError(f"view_weights: no published weights {self.view_weights!r}; known: {known}")
        elif self.view_weights is not None:
            if len(self.view_weights) != views:
                raise ValueError(f"view_weights: {len(self.view_weights)} weights for {views} views")
            if not any(self.view_weights):
                raise ValueError("view_weights: every view has weight 0")


PUBLISHED = (
    "modelnet40_vit_b16",
    "modelnet40_vit_b32",
    "modelnet40_rn50",
    "modelnet40_rn101",
    "scanobjectnn_vit_b16",
    "scanobjectnn_vit_b32",
)


@dataclass(kw_only=True)
class PointClipOptions(ViewOptions):
    """pointcloud/pointclip."""

    views: Literal[6, 10] = 6
    """6: four sides, top and bottom, as for zero-shot; 10: also four corners, as for few-shot."""
    canvas: Positive | None = None
    """Pixels of a side of the depth map before it is resized. Default: 128 with 6 views, 224 with 10."""
    distance: Annotated[float, Gt(1)] | None = None
    """Distance of the camera from a cloud of radius 1. Default: 1.6 with 6 views, 1.4 with 10."""
    adapter: Literal["none", "inter_view"] = "none"
    """`inter_view`: a small trainable part that mixes the views (few-shot); freeze the image tower beside it."""
    residual: Share = 0.6
    """Share of the adapted features beside the original ones."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.075
    """Dropout inside the adapter."""

    def __post_init__(self):
        self.check_views(self.views)


@dataclass(kw_only=True)
class PointClipV2Options(ViewOptions):
    """pointcloud/pointclip_v2: ten views."""

    resolution: Annotated[int, Ge(16)] = 112
    """Cells of a side of the voxel grid; the depth map has two pixels less."""
    depth: Annotated[int, Ge(3)] = 8
    """Cells of the grid along the line of sight."""
    kernel: Annotated[int, Ge(3)] = 7
    """Width of the maximum that closes gaps between points, odd."""
    sigma: Annotated[float, Gt(0)] = 3.0
    """Standard deviation of the Gaussian that smooths the depth map, in pixels."""
    smooth: Annotated[int, Ge(1)] = 3
    """Width of that Gaussian, odd."""
    fill: Annotated[float, Gt(0), Le(1)] = 0.8
    """Share of the picture's side that the cloud takes."""

    def __post_init__(self):
        self.check_views(10, published=True)
        for name in ("kernel", "smooth"):
            if getattr(self, name) % 2 == 0:
                raise ValueError(f"{name} must be odd, not {getattr(self, name)}")


@dataclass(kw_only=True)
class Clip2PointOptions(ViewOptions):
    """pointcloud/clip2point. `image` is the encoder of depth maps, pre-trained to agree with pictures."""

    original: TowerPart | None = None
    """The image tower of the second path of the dual-path adapter: CLIP as it was, usually `{ref: image}`. Default: one
    path."""
    views: Literal[6, 10] | list[list[float]] = 6
    """Cameras around the cloud: 6 or 10 as published, or a list of [azimuth, elevation] in degrees; one camera, that of
    the pictures, for pre-training."""
    distance: Annotated[float, Gt(0)] = 1.0
    """Distance of the cameras from the cloud's middle; the cloud is drawn smaller by it."""
    jitter_distance: Annotated[float, Ge(0), Lt(1)] = 0.0
    """In training each cloud's distance changes by up to this share (pre-training: 0.1)."""
    radius: Annotated[float, Gt(0), Lt(1)] = 0.02
    """Radius of a point's disc, where the picture is 2 wide."""
    turn: bool = False
    """First bring +z to the cameras' +y, as published for ModelNet40; with `tower_up: z` clouds stand upright."""
    unit: bool = True
    """Each view's features on the unit sphere before they are summed; false: as the encoder gives them."""
    selector: Annotated[int, Ge(0)] = 0
    """Width of a small network on the points that moves each camera (learned views); 0: fixed cameras."""
    adapter: bool = False
    """A trainable adapter for each path: views become one vector (few-shot); freeze the image towers beside it."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.075
    """Dropout inside the adapters."""

    def __post_init__(self):
        if isinstance(self.views, list) and not (self.views and all(len(view) == 2 for view in self.views)):
            raise ValueError("views: a list of [azimuth, elevation], at least one")
        self.check_views(len(self.views) if isinstance(self.views, list) else self.views)
        if self.adapter and (self.view_weights is not None or self.learn_weights):
            raise ValueError("adapter makes one vector of the views: it leaves nothing for view_weights to weigh")
        if self.original is not None and not self.adapter:
            raise ValueError("original is the second path of the adapter: it needs adapter: true")
