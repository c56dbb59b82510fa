"""Options of the toy tower (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Lt


@dataclass(kw_only=True)
class ToyOptions:
    size: Annotated[int, Gt(0)] = 16
    """Length of the input vectors."""
    width: Annotated[int, Gt(0)] = 32
    """Width of the tower's output."""
    depth: Annotated[int, Gt(0)] = 2
    """Hidden layers."""
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Dropout after each hidden layer."""
    noise: Annotated[float, Ge(0)] = 0.0
    """Standard deviation of training noise added to the input (an augmentation)."""

    @property
    def deterministic(self) -> bool:
        """Whether training samples are those of evaluation."""
        return not self.noise
