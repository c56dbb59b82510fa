"""Options of the towers that see the points themselves (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt

from anyclip_pointcloud.options import PointOptions

Positive = Annotated[int, Gt(0)]
Rate = Annotated[float, Ge(0), Lt(1)]


@dataclass(kw_only=True)
class PointnetOptions(PointOptions):
    channels: list[Positive] = field(default_factory=lambda: [64, 128, 256])
    """Width of each layer that all points share."""
    feature: Literal["max", "max+mean"] = "max"
    """How points become one vector; `max+mean` is twice as wide."""
    dropout: Rate = 0.0
    """On the pooled vector, in training."""

    def __post_init__(self):
        if not self.channels:
            raise ValueError("channels needs a layer at least")


@dataclass(kw_only=True)
class Pointnet2Options(PointOptions):
    variant: Literal["ssg", "msg"] = "ssg"
    """`ssg`: balls of one radius; `msg`: of three radii around each centre."""
    centres: list[Positive] = field(default_factory=lambda: [512, 128])
    """Centres of the first and second layer of balls."""
    radius: Annotated[float, Gt(0)] = 0.2
    """Radius of the smallest ball (`msg`: the middle one) of the first layer; the second layer's are twice as large."""
    width: Annotated[int, Ge(32)] = 1024
    """Of the global feature. Other layers scale with it; 1024 gives the published sizes and `pooled` of 256."""

    def __post_init__(self):
        if len(self.centres) != 2:
            raise ValueError(f"centres takes 2 numbers, not {len(self.centres)}")
        if not self.points >= self.centres[0] >= self.centres[1]:
            raise ValueError(f"centres {self.centres} cannot be chosen from {self.points} points; they must not grow")


@dataclass(kw_only=True)
class PointmlpOptions(PointOptions):
    embed_dim: Positive = 64
    """Channels of the first layer; 32 in PointMLP-elite."""
    res_expansion: Annotated[float, Gt(0)] = 1.0
    """Inner width of a residual block as a share of its channels; 0.25 in elite."""
    dim_expansion: list[Positive] = field(default_factory=lambda: [2, 2, 2, 2])
    """Factor by which each stage widens; [2, 2, 2, 1] in elite."""
    pre_blocks: list[Positive] = field(default_factory=lambda: [2, 2, 2, 2])
    """Residual blocks before the maximum of each stage; [1, 1, 2, 1] in elite."""
    pos_blocks: list[Positive] = field(default_factory=lambda: [2, 2, 2, 2])
    """Residual blocks behind it; [1, 1, 2, 1] in elite."""
    k_neighbors: list[Positive] = field(default_factory=lambda: [24, 24, 24, 24])
    """Neighbours in a group of each stage."""
    reducers: list[Positive] = field(default_factory=lambda: [2, 2, 2, 2])
    """Factor by which each stage thins the points."""
    start_points: Positive | None = None
    """The first stage thins to this many divided by its reducer, however many points there are. Default: `points`; ULIP
    gives 8192 points and starts from 1024."""
    affine: Literal["anchor", "center", "none"] = "anchor"
    """Geometric affine: offsets from the anchor point or from the group's mean, or none."""
    activation: Literal["relu", "gelu", "silu", "leakyrelu"] = "relu"
    """Of every layer."""
    bias: bool = False
    """Whether convolutions have one (each has a norm behind it)."""
    use_xyz: bool = False
    """Whether neighbours' coordinates join their features in every stage."""
    width: Positive = 256
    """Of `pooled`; the layer before has twice as much."""
    dropout: Rate = 0.5
    """Behind the last two layers, in training."""

    def __post_init__(self):
        stages, left = len(self.reducers), self.points
        start = self.start_points or self.points
        lists = ("dim_expansion", "pre_blocks", "pos_blocks", "k_neighbors")
        odd = [f"{name} has {len(getattr(self, name))}" for name in lists if len(getattr(self, name)) != stages]
        if odd or not stages:
            raise ValueError(f"reducers has {stages} stages, {', '.join(odd) or 'one is needed'}")
        if start > self.points:
            raise ValueError(f"start_points {start} is more than the {self.points} points")
        for neighbors, reducer in zip(self.k_neighbors, self.reducers):
            if neighbors > left:
                raise ValueError(f"k_neighbors asks {neighbors} of the {left} points that a stage sees")
            left = start = max(1, start // reducer)


@dataclass(kw_only=True)
class PatchOptions(PointOptions):
    """Towers whose tokens are patches of the cloud."""

    num_group: Positive = 512
    """Patches of a cloud."""
    group_size: Positive = 32
    """Points of a patch."""
    skip_origin: bool = True
    """Points within 0.032 of the origin are no patch centres, as in the CUDA operator that the published weights were
    trained with."""

    def __post_init__(self):
        for name in ("num_group", "group_size"):
            if getattr(self, name) > self.points:
                raise ValueError(f"{name} {getattr(self, name)} is more than the {self.points} points")


@dataclass(kw_only=True)
class PointbertOptions(PatchOptions):
    """The defaults are ULIP's; ULIP-2 has depth 18, colors and 10000 points."""

    points: Positive = 8192
    """Points of a cloud that the tower sees; clouds with fewer repeat theirs."""
    trans_dim: Positive = 384
    """Width of the transformer."""
    depth: Positive = 12
    """Blocks."""
    num_heads: Positive = 6
    """Attention heads."""
    encoder_dims: Positive = 256
    """Width of the patch encoder's output."""
    drop_path: Rate = 0.1
    """Rate of dropped branches in the last block; it grows linearly from 0 in the first."""
    feature: Literal["concat", "cls", "max"] = "concat"
    """`concat`: the class token beside the maximum over the patches, 2 x trans_dim wide; or one of them, with which the
    tower also gives `tokens`."""

    def __post_init__(self):
        super().__post_init__()
        if self.trans_dim % self.num_heads:
            raise ValueError(f"trans_dim {self.trans_dim} is no multiple of num_heads {self.num_heads}")


@dataclass(kw_only=True)
class Uni3dOptions(PatchOptions):
    """The defaults are those of the published models, except `size` (they go up to giant)."""

    points: Positive = 10_000
    """Points of a cloud that the tower sees; clouds with fewer repeat theirs."""
    colors: bool = True
    """Whether the tower sees colours (RGB, 0..1)."""
    group_size: Positive = 64
    """Points of a patch."""
    size: Literal["tiny", "small", "base", "large", "giant"] = "base"
    """Published size (6 to 1017 million parameters); for a `model` that is not given."""
    model: str | None = None
    """A vision transformer of timm (`vit_*`, `deit*`, `eva*`), instead of `size`."""
    args: dict[str, Any] = field(default_factory=dict)
    """More arguments of `timm.create_model`: {embed_dim: 96, depth: 3, num_heads: 3}."""
    pretrained: bool | str = False
    """First weights of the transformer. true: timm's (downloaded once); a local file; false: random. Uni3D starts from
    those of EVA."""
    encoder_dim: Positive = 512
    """Width of the patch encoder's output."""
    patch_dropout: Rate = 0.5
    """Share of patches dropped at random in training."""
    drop_path: Rate = 0.2
    """Rate of dropped branches in the last block."""
    output: Literal["pooled", "projected"] = "pooled"
    """`projected`: after the tower's own linear layer to `dim`, as published; goes with `projection: identity`."""
    dim: Positive = 1024
    """Width of `output: projected`."""
