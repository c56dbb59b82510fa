"""Options of the losses (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Lt


@dataclass(kw_only=True)
class InfoNCEOptions:
    label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of the target spread evenly over all candidates (ALIGN: 0.1)."""
    direction_reduction: Literal["mean", "sum"] | list[Annotated[float, Ge(0)]] = "mean"
    """How the two directions add up: `mean`, `sum`, or two weights, first against second and second against first."""
    normalize_inputs: bool = False
    """Normalise the embeddings once more inside the loss, as some published code does."""

    def __post_init__(self):
        if isinstance(self.direction_reduction, list) and len(self.direction_reduction) != 2:
            raise ValueError("direction_reduction takes two weights")


@dataclass(kw_only=True)
class SigLIPOptions:
    normalize_inputs: bool = False
    """Normalise the embeddings once more inside the loss."""
