"""Options of the tower (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Lt


@dataclass(kw_only=True)
class PatchOptions:
    """imu/patches."""

    rate: Annotated[float, Gt(0)] = 50.0
    """Recordings are resampled to this rate (Hz)."""
    seconds: Annotated[float, Gt(0)] = 10.0
    """Longer recordings are cut: the middle in evaluation, anywhere in training."""
    patch: Annotated[int, Gt(0)] = 5
    """Samples per token."""
    width: Annotated[int, Gt(0)] = 96
    """Width of the tower's output."""
    depth: Annotated[int, Gt(0)] = 3
    """Transformer layers."""
    heads: Annotated[int, Gt(0)] = 4
    """Attention heads per layer."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Dropout in each layer."""
    gain: Annotated[float, Ge(0), Lt(1)] = 0.1
    """Training only: sensors are scaled by up to this share, each by its own."""
    noise: Annotated[float, Ge(0)] = 0.02
    """Training only: standard deviation of added noise, in g and rad/s."""

    def __post_init__(self):
        if self.width % self.heads or self.width % 2:
            raise ValueError("width must be even and a multiple of heads")
        if self.seconds * self.rate < self.patch:
            raise ValueError("seconds * rate must hold at least one patch")
