"""Options of the similarities (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt


@dataclass(kw_only=True)
class FilipOptions:
    top_k: Annotated[int, Gt(0)] | None = None
    """Keep as keys of a row only its k tokens that agree most with its own pair (DeCLIP repository: 16); null: all."""
    normalize: bool = True
    """Bring tokens to length 1; false: they are so, or their length shall count."""


@dataclass(kw_only=True)
class MultiGrainedOptions:
    dim: Annotated[int, Gt(0)] = 512
    """Joint width E: `model.dim`."""
    words: Annotated[int, Gt(0)] = 32
    """Tokens of the first stream (X-CLIP: 32 words); shorter rows are padded with zeros."""
    frames: Annotated[int, Gt(0)] = 12
    """Tokens of the second stream (X-CLIP: 12 frames); shorter rows are padded with zeros."""
    temperature: Annotated[float, Gt(0)] = 0.01
    """Of the attention over tokens."""
    video: Literal["mean", "features"] = "mean"
    """The second stream's whole: the mean of its unit tokens, or its features, where its tower has a mean of its own
    (temporal heads)."""
    mask: bool = True
    """Padding tokens become zeros. false: the attention sees what towers give for padding, as in the origin."""


@dataclass(kw_only=True)
class EuclideanOptions:
    squared: bool = True
    """Squared distance (EuCLIP) instead of the distance."""
    feature_scale: Literal["inverse_sqrt_dim"] | Annotated[float, Gt(0)] = "inverse_sqrt_dim"
    """Features are multiplied with this; E^-0.5 keeps random features about as long as unit vectors (EuCLIP)."""


@dataclass(kw_only=True)
class EllipticOptions:
    normalize: bool = True
    """Bring features to length 1; false: the tower does."""


@dataclass(kw_only=True)
class CurvatureConfig:
    """Curvature of the hyperboloid: the space curves by -c."""

    init: Annotated[float, Gt(0)] = 1.0
    """First value."""
    learn: bool = True
    """false: it keeps its first value."""
    min: Annotated[float, Gt(0)] = 0.1
    """Smallest value (MERU: 0.1)."""
    max: Annotated[float, Gt(0)] = 10.0
    """Largest value (MERU: 10)."""

    def __post_init__(self):
        if not self.min <= self.init <= self.max:
            raise ValueError(f"curvature.init {self.init:g} is outside {self.min:g} to {self.max:g}")


@dataclass(kw_only=True)
class HyperbolicOptions:
    squared: bool = False
    """Squared distance instead of the distance."""
    inner: bool = False
    """Lorentzian inner product instead of a distance."""
    curvature: CurvatureConfig = field(default_factory=CurvatureConfig)
    """Curvature of the space."""
    feature_scale: Literal["inverse_sqrt_dim"] | Annotated[float, Gt(0)] = "inverse_sqrt_dim"
    """First factor of the features before they are lifted (MERU: E^-0.5)."""
    learn_feature_scale: bool = True
    """Learn that factor, one per side, at most 1 (MERU)."""

    def __post_init__(self):
        if self.squared and self.inner:
            raise ValueError("squared and inner exclude each other: an inner product is no distance")


@dataclass(kw_only=True)
class WhiteningOptions:
    dim: Annotated[int, Gt(0)] = 512
    """Joint width E: `model.dim`."""
    normalize: bool = True
    """Compare whitened features on the unit sphere; false: by dot product."""
    min_variance: Annotated[float, Ge(0)] = 0.0
    """Directions with less variance in the reference set than this share of the largest are left out."""
