"""Frames through decord or decord2, which brings its own FFmpeg."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from anyclip.errors import BadSample
from anyclip_video.source import VideoSource, one_line


class DecordSource(VideoSource):
    """The whole file is scanned when it is opened. constant: not used."""

    def __init__(self, file: Any, name: str, *, threads: int = 1, constant: bool = False):
        import decord
        from decord._ffi.base import DECORDError

        decord.logging.set_level(decord.logging.QUIET)  # errors are raised too
        self.name = name
        self.errors = (DECORDError, RuntimeError, OSError, ValueError, IndexError)
        if not isinstance(file, str):
            file = io.BytesIO(file if isinstance(file, bytes) else file.read())
        try:
            self.reader = decord.VideoReader(file, ctx=decord.cpu(0), num_threads=threads)
            self.count = len(self.reader)
            if not self.count:
                raise BadSample(f"{name}: has no frames")
            self.begin, self.end = float(self._times([0])[0, 0]), float(self._times([self.count - 1])[0, 1])
        except self.errors as error:
            raise BadSample(f"{name}: {one_line(error)}") from None

    def _times(self, indices: Sequence[int]) -> np.ndarray:
        """float64 [N, 2]: the seconds from which and until which frames are shown."""
        return np.asarray(self.reader.get_frame_timestamp(list(indices)), dtype=np.float64).reshape(-1, 2)

    def _batch(self, part: Sequence[int]) -> Iterator[np.ndarray]:
        try:
            frames = self.reader.get_batch(list(part)).asnumpy()
        except self.errors as error:
            raise self.damaged(error) from None
        self.size = frames.shape[1:3]
        yield from frames

    def read(self, indices: Sequence[int]) -> Iterator[np.ndarray]:
        for part in self.chunks(indices):
            yield from self._batch(part)

    def read_at(self, seconds: Sequence[float]) -> Iterator[np.ndarray]:
        begins = self._times(range(self.count))[:, 0]
        places = np.searchsorted(begins, np.asarray(seconds) + 1e-6, side="right") - 1
        yield from self.read([int(place) for place in places.clip(0, self.count - 1)])

    def close(self) -> None:
        del self.reader
