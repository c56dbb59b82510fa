"""Frames through PyAV, which brings its own FFmpeg: seeks to the key frame before, decodes from there."""

from __future__ import annotations

import bisect
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from anyclip.errors import BadSample
from anyclip_video.source import VideoSource, one_line


class PyavSource(VideoSource):
    """The packets are listed when it is opened (not decoded), to know each frame's time. constant: not used."""

    def __init__(self, file: Any, name: str, *, threads: int = 1, constant: bool = False):
        import av
        from av.error import FFmpegError

        self.name = name
        self.errors = (FFmpegError, OSError, ValueError)
        try:
            self.container: Any = av.open(io.BytesIO(file) if isinstance(file, bytes) else file)
            if not self.container.streams.video:
                raise BadSample(f"{name}: has no video stream")
            self.stream = self.container.streams.video[0]
            self.stream.codec_context.thread_count = threads
            self._list_packets()
            self.size = (self.stream.codec_context.height, self.stream.codec_context.width)
        except self.errors as error:
            raise BadSample(f"{name}: {one_line(error)}") from None

    def _list_packets(self) -> None:
        found = [
            (packet.pts, packet.duration or 0, packet.is_keyframe)
            for packet in self.container.demux(self.stream)
            if packet.pts is not None and not packet.is_discard
        ]
        if not found:
            raise BadSample(f"{self.name}: has no frames")
        found.sort()
        self.stamps = [stamp for stamp, _, _ in found]
        self.keys = [stamp for stamp, _, key in found if key] or self.stamps[:1]
        self.count = len(found)
        unit = float(self.stream.time_base)
        self.begin, self.end = self.stamps[0] * unit, (self.stamps[-1] + found[-1][1]) * unit

    def _decode(self, stamp: int) -> Iterator[Any]:
        """Decoded frames from the key frame before `stamp` on."""
        self.container.seek(self._key(stamp), stream=self.stream, backward=True)
        return self.container.decode(self.stream)

    def _key(self, stamp: int) -> int:
        return self.keys[max(0, bisect.bisect_right(self.keys, stamp) - 1)]

    @staticmethod
    def _pixels(frame: Any) -> np.ndarray:
        pixels = frame.to_ndarray(format="rgb24")
        turn = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(pixels, turn)) if turn else pixels

    def read(self, indices: Sequence[int]) -> Iterator[np.ndarray]:
        frames: Iterator[Any] | None = None
        current, pixels = -1, None
        for index in indices:
            wanted = self.stamps[index]
            try:
                if index != current or pixels is None:
                    if frames is None or self._key(wanted) > self.stamps[current]:
                        frames = self._decode(wanted)
                    pixels, current = self._until(frames, wanted), index
            except self.errors as error:
                raise self.damaged(error) from None
            yield pixels

    def _until(self, frames: Iterator[Any], stamp: int) -> np.ndarray:
        for frame in frames:
            if frame.pts is not None and frame.pts >= stamp:
                return self._pixels(frame)
        raise BadSample(f"{self.name}: damaged: the frame at {stamp * float(self.stream.time_base):.3f} s is not there")

    def read_at(self, seconds: Sequence[float]) -> Iterator[np.ndarray]:
        unit = float(self.stream.time_base)
        places = [bisect.bisect_right(self.stamps, (moment + 1e-6) / unit) - 1 for moment in seconds]
        yield from self.read([min(max(place, 0), self.count - 1) for place in places])

    def close(self) -> None:
        self.container.close()
