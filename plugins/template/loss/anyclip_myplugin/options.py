"""Options of myloss (torch-free: `anyclip options` and `anyclip check` read them)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Lt


@dataclass(kw_only=True)
class MyLossOptions:
    smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of the target spread evenly over all candidates."""
