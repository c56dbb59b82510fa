"""Options that every video tower understands (torch-free). Those of single towers are in `tower_options`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Gt
from anyclip_image.options import PixelOptions

Positive = Annotated[int, Gt(0)]


@dataclass(kw_only=True)
class VideoOptions(PixelOptions):
    """Which frames of a video the model sees, how they are decoded, and what is done to their pixels."""

    frames: Positive | None = None
    """Frames that the model sees of a clip. Default: the model's own, else 12."""
    fps: Annotated[float, Gt(0)] | None = None
    """Only so many frames of each second are candidates (CLIP4Clip: 1). Default: every frame is one."""
    sampling: Literal["uniform", "head", "tail", "segments", "dense"] = "uniform"
    """Which candidates, where there are more than `frames`. `uniform`, `head`, `tail`: evenly spread from the first to
    the last, the first, the last (CLIP4Clip's slice_framepos 2, 0, 1); `segments`: one of each of as many equal parts,
    the middle one, in training a random one; `dense`: neighbours in windows, see `windows`, in training one at random
    (needs `fps` or `stride` to look further than `frames` frames)."""
    stride: Positive = 1
    """Every n-th candidate only."""
    windows: Positive = 1
    """With `dense`: most windows of a long video in evaluation, evenly spread; their encodings are averaged."""
    by: Literal["index", "time"] = "index"
    """What is evenly spread: frame numbers, as the papers do, or seconds; not the same at a variable frame rate."""
    short: Literal["repeat", "pad"] = "repeat"
    """Fewer candidates than `frames`: they are repeated evenly, or black frames that the mask excludes follow."""
    backend: Literal["auto", "torchcodec", "decord", "pyav"] = "auto"
    """Decoder. `auto`: the first of these that is installed and opens the file."""
    threads: Positive = 1
    """Threads of the decoder in each loader worker."""

    def __post_init__(self):
        super().__post_init__()
        if self.windows > 1 and self.sampling != "dense":
            raise ValueError("windows: only with sampling: dense")

    @property
    def deterministic(self) -> bool:
        """Whether training samples are those of evaluation."""
        return super().deterministic and self.sampling not in ("segments", "dense")
