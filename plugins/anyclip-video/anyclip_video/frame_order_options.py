"""Options of the evaluation `frame_order` (torch-free)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Lt

Positive = Annotated[int, Gt(0)]


@dataclass(kw_only=True)
class FrameOrderOptions:
    pattern: str = r"(\S+) and then (\S+)"
    """Regular expression found in captions that tell an order of events; rows whose caption has none are left out."""
    swapped: str = r"\2 and then \1"
    """What stands in its place in the caption of the swapped clip."""
    roll: Annotated[float, Gt(0), Lt(1)] = 0.5
    """By how much of its length a clip's frames are rolled to give the swapped clip."""
    max_rows: Positive | None = None
    """Use so many rows, evenly spread over the data."""
    batch_size: Positive = 32
    """Rows encoded at a time: speed and memory only."""
    bootstrap: Annotated[int, Ge(0)] = 1000
    """Resamples of the clips for the 95 % interval; 0: no interval."""
    seed: Annotated[int, Ge(0)] = 0
    """Seed of the resamples."""

    def __post_init__(self):
        try:
            re.sub(self.pattern, self.swapped, "")
            re.compile(self.pattern).sub(self.swapped, "one and then two")
        except (re.error, IndexError) as error:
            raise ValueError(f"pattern and swapped do not go together: {error}") from error
