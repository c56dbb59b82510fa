"""Frames through torchcodec (FFmpeg's libraries of the system)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from anyclip.errors import BadSample
from anyclip_video.source import VideoSource, one_line

_ERRORS = (RuntimeError, ValueError, OSError, IndexError)


class TorchcodecSource(VideoSource):
    """constant: the rate is known to be constant, so that the file need not be scanned when it is opened."""

    def __init__(self, file: Any, name: str, *, threads: int = 1, constant: bool = False):
        from torchcodec.decoders import VideoDecoder

        self.name = name
        try:
            self.decoder = VideoDecoder(
                file,
                dimension_order="NHWC",
                num_ffmpeg_threads=threads,
                seek_mode="approximate" if constant else "exact",
            )
        except _ERRORS as error:
            raise BadSample(f"{name}: {one_line(error)}") from None
        found: Any = self.decoder.metadata
        if not found.num_frames:
            raise BadSample(f"{name}: has no frames")
        self.count = int(found.num_frames)
        self.begin, self.end = float(found.begin_stream_seconds), float(found.end_stream_seconds)
        self.size = (int(found.height), int(found.width))

    def read(self, indices: Sequence[int]) -> Iterator[np.ndarray]:
        for part in self.chunks(indices):
            try:
                frames = self.decoder.get_frames_at(list(part)).data
            except _ERRORS as error:
                raise self.damaged(error) from None
            yield from frames.numpy()

    def read_at(self, seconds: Sequence[float]) -> Iterator[np.ndarray]:
        for part in self.chunks(seconds):
            try:
                frames = self.decoder.get_frames_played_at(list(part)).data
            except _ERRORS as error:
                raise self.damaged(error) from None
            yield from frames.numpy()
