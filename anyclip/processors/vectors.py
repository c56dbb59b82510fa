"""Inputs that are encodings already: pooled vectors of a locked tower, in place of what its processor would give."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Vectors:
    """Pooled vectors [B, W] of a tower; `JointModel.encode` passes them on instead of running the tower."""

    pooled: Tensor
