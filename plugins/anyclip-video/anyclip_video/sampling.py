"""Which frames of a video are looked at: numbers of frames, from its length and rate alone (nothing is decoded)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from anyclip_video.options import VideoOptions


@dataclass(frozen=True)
class Timeline:
    """What sampling knows of a video, or of a part of it.

    first, last: its frames are first .. last - 1. rate: frames a second (average). begin, end: its seconds.
    """

    first: int
    last: int
    rate: float
    begin: float
    end: float


@dataclass(frozen=True)
class Picks:
    """The frames of one clip, in order: their numbers, or the seconds at which they are shown."""

    indices: tuple[int, ...] = ()
    seconds: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.indices) or len(self.seconds)


@dataclass(frozen=True)
class Sampling:
    """The rules of `VideoOptions`, with the number of frames settled."""

    frames: int
    fps: float | None = None
    kind: str = "uniform"
    stride: int = 1
    windows: int = 1
    by: str = "index"
    short: str = "repeat"

    @staticmethod
    def of(options: VideoOptions, frames: int) -> Sampling:
        """frames: of the model, where the options do not say."""
        o = options
        return Sampling(o.frames or frames, o.fps, o.sampling, o.stride, o.windows, o.by, o.short)

    @property
    def draws(self) -> bool:
        """Whether training looks at random frames."""
        return self.kind in ("segments", "dense")

    def plan(self, line: Timeline, rng: np.random.Generator | None = None) -> list[Picks]:
        """One Picks a window, each of at most `frames` frames (`short: pad`) or exactly as many (`short: repeat`).

        line: of at least one frame. rng: of training; None for evaluation.
        """
        if self.by == "time":
            moments = self._moments(line)
            return [Picks(seconds=tuple(float(moments[i]) for i in clip)) for clip in self._clips(len(moments), rng)]
        candidates = self._candidates(line)
        return [Picks(indices=tuple(int(candidates[i]) for i in clip)) for clip in self._clips(len(candidates), rng)]

    def _candidates(self, line: Timeline) -> range | list[int]:
        every = range(line.first, line.last)
        if self.fps is not None and self.fps < line.rate:
            found = [line.first + i for i in per_second(len(every), line.rate, self.fps)]
            every = found or every[:1]
        return every[:: self.stride]

    def _moments(self, line: Timeline) -> np.ndarray:
        """Seconds; without `fps` as many as there are frames. Each lies in the middle of what it stands for."""
        length = max(line.end - line.begin, 0.0)
        fps = min(self.fps or line.rate, line.rate) if line.rate > 0 else 1.0
        count = max(1, math.floor(length * fps + 1e-6))
        return (line.begin + (np.arange(count) + 0.5) / count * length)[:: self.stride]

    def _clips(self, count: int, rng: np.random.Generator | None) -> list[np.ndarray]:
        """Places 0 .. count - 1 of the candidates, a list per window."""
        wanted = self.frames
        if count <= wanted:
            return [np.arange(count) if self.short == "pad" else spread(count, wanted, rng if self._jitters else None)]
        if self.kind == "uniform":
            return [np.linspace(0, count - 1, wanted).astype(int)]
        if self.kind == "head":
            return [np.arange(wanted)]
        if self.kind == "tail":
            return [np.arange(count - wanted, count)]
        if self.kind == "segments":
            return [spread(count, wanted, rng)]
        return [np.arange(start, start + wanted) for start in self._starts(count - wanted, rng)]

    @property
    def _jitters(self) -> bool:
        return self.kind == "segments"

    def _starts(self, over: int, rng: np.random.Generator | None) -> list[int]:
        """First candidates of the windows: one at random in training; in evaluation the middle one, or several."""
        if rng is not None:
            return [int(rng.integers(over + 1))]
        windows = min(self.windows, math.ceil((over + self.frames) / self.frames))
        return [over // 2] if windows == 1 else [round(start) for start in np.linspace(0, over, windows)]


def spread(count: int, wanted: int, rng: np.random.Generator | None) -> np.ndarray:
    """One place of each of `wanted` equal parts of 0 .. count - 1: its middle, or a random one (TSN, section 3.1)."""
    edges = np.arange(wanted + 1) * count / wanted
    within = np.full(wanted, 0.5) if rng is None else rng.random(wanted)
    return np.minimum((edges[:-1] + within * (edges[1:] - edges[:-1])).astype(int), count - 1)


def per_second(count: int, rate: float, fps: float) -> list[int]:
    """Frames 0 .. count - 1 of which there are `fps` a second.

    A whole `fps`: the rule of CLIP4Clip's loader, which works on the whole frames of each second: with r = int(rate)
    and a step of max(1, r // fps), the first `fps` of 0, step, 2 step ... below r, in each second. Else: the frame that
    is shown at k / fps.
    """
    if fps == int(fps) and int(rate) >= 1:
        whole = int(rate)
        offsets = list(range(0, whole, max(1, whole // int(fps))))[: int(fps)]
        return [second + offset for second in range(0, count, whole) for offset in offsets if second + offset < count]
    total = math.ceil(count * fps / rate - 1e-9)
    return sorted({min(count - 1, math.floor(k * rate / fps + 1e-9)) for k in range(total)})
