"""Options that every point-cloud tower understands (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from anyclip_pointcloud.strengths import Augment, augment_from

Positive = Annotated[int, Gt(0)]
Share = Annotated[float, Ge(0), Le(1)]
Axis = Literal["x", "y", "z"]


@dataclass(kw_only=True)
class PointOptions:
    """What the processor of every point-cloud tower does: budget, axes, normalisation, colours, augmentation."""

    points: Positive = 1024
    """Points of a cloud that the tower sees; clouds with fewer repeat theirs."""
    colors: bool = False
    """Whether the tower sees colours (RGB, 0..1)."""
    normals: bool = False
    """Whether the tower sees unit normals; clouds without get them from their nearest neighbours."""
    missing_color: Share = 0.4
    """Red, green and blue of clouds without colours; 0.4 is what OpenShape and Uni3D take."""
    up: Axis = "y"
    """The axis of the files that points up."""
    tower_up: Axis = "y"
    """The axis that points up for the tower: clouds are turned when `up` is another."""
    normalize: Literal["sphere", "box", "none"] = "sphere"
    """`sphere`: centred on the mean, the farthest point at distance 1; `box`: the same around the middle of the
    bounding box; `none`: as in the file."""
    sample: Literal["farthest", "stride", "first"] = "farthest"
    """Which points stand for a larger cloud in evaluation: farthest point sampling (of at most `pool` of them), every
    k-th, or the first. The same file gives the same points."""
    pool: Positive = 10_000
    """Farthest point sampling looks at this many points of a larger cloud, evenly taken; meshes are sampled at this
    many points of their surface."""
    train_sample: Literal["random", "same"] = "random"
    """Which points stand for it in training: random ones, or those of evaluation."""
    outliers: Annotated[float, Gt(1)] | None = 20.0
    """Points farther from the middle than this many times the median distance are left out, with a warning, when they
    are at most 1 in 100. null: all stay."""
    read_at_most: Positive = 1_000_000
    """Larger files are thinned evenly while they are read, so that memory stays bounded."""
    backend: Literal["auto", "open3d", "trimesh"] = "auto"
    """Reader of meshes (obj, stl, glb, gltf). `auto`: open3d where it is installed, trimesh elsewhere and where the
    colours of materials are asked for."""
    augment: Literal["none", "light", "strong"] = "none"
    """Training augmentation. `light`: any rotation about the up axis, jitter 0.01, scale up to 1.25; `strong`: also
    tilt 15 degrees, drop up to half, scale up to 1.5, shift 0.1, no colours in one cloud of five. The fields below
    change single parts."""
    rotate: Annotated[float, Ge(0), Le(180)] | None = None
    """Largest rotation about the up axis, in degrees to either side."""
    tilt: Annotated[float, Ge(0), Le(180)] | None = None
    """Largest rotation about each other axis, in degrees to either side."""
    jitter: Annotated[float, Ge(0)] | None = None
    """Standard deviation of noise on each coordinate, cut at 5 times it; the cloud has radius 1."""
    drop: Annotated[float, Ge(0), Lt(1)] | None = None
    """Largest share of points that is dropped (their places repeat the first point, so that the number stays)."""
    scale: Annotated[float, Ge(1)] | None = None
    """Largest factor of the size; its inverse is the smallest."""
    shift: Annotated[float, Ge(0)] | None = None
    """Largest shift along each axis."""
    color_drop: Share | None = None
    """Probability of a cloud without its colours."""

    @property
    def deterministic(self) -> bool:
        """Whether training sees the samples of evaluation."""
        return self.train_sample == "same" and augment_from(self) == Augment()
