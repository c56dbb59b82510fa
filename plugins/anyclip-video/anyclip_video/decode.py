"""A value -> the frames that a sampling asks for; nothing else is decoded, and frames are shrunk one by one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anyclip.errors import BadSample
from anyclip_video.sampling import Picks, Sampling, Timeline
from anyclip_video.source import VideoSource
from anyclip_video.sources import open_video

_MOST_BYTES = 1 << 30  # of decoded pixels that `decode` returns


@dataclass(frozen=True)
class Request:
    """How a file is opened: decoder, its threads, the largest frame in pixels."""

    backend: str = "auto"
    threads: int = 1
    max_pixels: int = 2**26


def decode(value: Any, *, frames: int | None = None, backend: str = "auto") -> np.ndarray:
    """uint8 [T, H, W, 3]: every frame, or `frames` evenly spread ones. Raises BadSample.

    What would take more than 1 GiB is refused: ask for fewer frames.
    """
    sampling = Sampling(frames=frames or 2**62, short="pad")
    held = 0

    def keep(pixels: np.ndarray) -> np.ndarray:
        nonlocal held
        held += pixels.nbytes
        if held > _MOST_BYTES:
            raise BadSample("its frames take more than 1 GiB: ask for fewer (decode(value, frames=16))")
        return pixels

    return np.stack(read_windows(value, sampling, Request(backend), shrink=keep)[0])


def read_windows(
    value: Any,
    sampling: Sampling,
    request: Request,
    *,
    rng: np.random.Generator | None = None,
    shrink: Callable[[np.ndarray], np.ndarray],
) -> list[list[np.ndarray]]:
    """The frames of each window, as `shrink` leaves them. Raises BadSample.

    shrink: uint8 [H, W, 3] -> what is kept of a frame; called once for each different frame, so that the memory held
    is that of a few decoded frames and of all the shrunken ones.
    """
    source, start, end = open_video(value, request.backend, threads=request.threads, max_pixels=request.max_pixels)
    with source:
        clips = sampling.plan(timeline(source, start, end), rng)
        return _read(source, clips, request, shrink)


def timeline(source: VideoSource, start: float | None, end: float | None) -> Timeline:
    """What sampling may choose from: the whole, or the part start <= t < end in seconds. Raises BadSample."""
    rate = source.rate
    begin = source.begin if start is None else source.begin + start
    stop = source.end if end is None else min(source.begin + end, source.end)
    if not (begin < source.end and begin < stop and begin >= source.begin):
        raise BadSample(
            f"{source.name}: the part {start or 0:g} s to {'the end' if end is None else f'{end:g} s'} "
            f"is not in it: it has {source.end - source.begin:.3f} s"
        )
    if start is None and end is None:
        return Timeline(0, source.count, rate, begin, stop)
    first = min(math.floor((begin - source.begin) * rate + 1e-6), source.count - 1)
    last = min(max(math.ceil((stop - source.begin) * rate - 1e-6), first + 1), source.count)
    return Timeline(first, last, rate, begin, stop)


def _read(
    source: VideoSource, clips: Sequence[Picks], request: Request, shrink: Callable[[np.ndarray], np.ndarray]
) -> list[list[np.ndarray]]:
    """Each different frame once, in rising order, however many windows show it."""
    by_time = bool(clips[0].seconds)
    asked = [clip.seconds if by_time else clip.indices for clip in clips]
    wanted = sorted({place for clip in asked for place in clip})
    kept: dict[float, np.ndarray] = {}
    frames = source.read_at(wanted) if by_time else source.read([int(place) for place in wanted])
    for place, pixels in zip(wanted, frames):
        if pixels.shape[0] * pixels.shape[1] > request.max_pixels:
            raise BadSample(
                f"{source.name}: {pixels.shape[1]} x {pixels.shape[0]} pixels is above the limit of "
                f"{request.max_pixels} (option max_pixels)"
            )
        kept[place] = shrink(pixels)
    if len(kept) < len(wanted):
        raise BadSample(f"{source.name}: damaged: {len(kept)} of {len(wanted)} frames could be read")
    return [[kept[place] for place in clip] for clip in asked]
