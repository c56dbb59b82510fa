"""Options of the loss (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt


@dataclass(kw_only=True)
class VSEOptions:
    margin: Annotated[float, Gt(0)] = 0.2
    """By how much a match must score above every other candidate."""
    hardest: bool = True
    """Only the worst negative of each row counts (VSE++); false: the sum over all of them (VSE0)."""
