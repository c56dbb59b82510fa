"""Options of the reader `overlapping_clips` (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt

Positive = Annotated[int, Gt(0)]
Seconds = Annotated[float, Gt(0)]


@dataclass(kw_only=True)
class OverlappingClipsOptions:
    """Clips and texts of long videos with timed captions; pairs overlap in time but are not aligned (VideoCLIP)."""

    path: str
    """A table with a row a video, as the `manifest` reader takes it: `video`, the file; `start`, `end` (seconds) and
    `text`, lists of the same length; `duration` in seconds, where it is known."""
    where: str | None = None
    """Keep the videos for which this holds; see `where` of the `manifest` reader."""
    root: str | None = None
    """Folder against which relative paths in the table are taken; default: the table's own folder."""
    clips: Positive = 16
    """Pairs drawn from each video; they are consecutive rows. Rows stay the same: for other pairs in each pass over
    the videos ask for more and let the sampler take some (`clusters`, its options `group` and `take`)."""
    min_words: Positive = 8
    """Fewest words of a text, where the video has so many."""
    max_words: Positive = 64
    """Most words of a text; how many is drawn from between."""
    min_seconds: Seconds = 3.0
    """Shortest clip of the video."""
    max_seconds: Seconds = 32.0
    """Longest clip of the video; how long is drawn from between."""
    overlap: bool = True
    """The clip is grown around a random moment of the text; false: it is exactly as long as the text (aligned)."""
    seed: Annotated[int, Ge(0)] = 0
    """Of the draws."""

    def __post_init__(self):
        if self.min_words > self.max_words:
            raise ValueError("min_words must not be above max_words")
        if self.min_seconds > self.max_seconds:
            raise ValueError("min_seconds must not be above max_seconds")
