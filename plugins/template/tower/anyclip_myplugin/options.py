"""Options of mymodality/mytower (torch-free: `anyclip options` and `anyclip check` read them)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt


@dataclass(kw_only=True)
class MyTowerOptions:
    size: Annotated[int, Ge(8)] = 256
    """Every value is stretched to this many numbers."""
    width: Annotated[int, Gt(0)] = 64
    """Width of the tower's output."""
    depth: Annotated[int, Gt(0)] = 3
    """Convolutions; each halves the length."""
    noise: Annotated[float, Ge(0)] = 0.02
    """Standard deviation of the noise added in training."""
