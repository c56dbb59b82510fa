"""Sounds through PyAV, which brings its own FFmpeg: the sound of videos where the system has no FFmpeg libraries."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from anyclip.errors import BadSample
from anyclip_audio.sources import SoundSource, Truncated

_AHEAD = 0.5  # seconds before the asked part at which decoding begins, so that the codec has its history


class PyavSource(SoundSource):
    """The first sound stream of a file. The length comes from the header; a stream without one is decoded to know."""

    def __init__(self, file: str | bytes, name: str):
        import av
        from av.error import FFmpegError

        self.name, self.errors = name, (FFmpegError, OSError, ValueError)
        try:
            self.container: Any = av.open(io.BytesIO(file) if isinstance(file, bytes) else file)
            if not self.container.streams.audio:
                raise BadSample(f"{name}: has no sound")
            self.stream = self.container.streams.audio[0]
            self.rate = int(self.stream.rate)
            self.unit = float(self.stream.time_base)
            self.begin = (self.stream.start_time or 0) * self.unit
            if self.stream.duration:
                self.frames = round(self.stream.duration * self.unit * self.rate)
            else:
                self.frames = sum(part.shape[1] for _, part in self._decoded(0))
        except self.errors as error:
            raise BadSample(f"{name}: {' '.join(str(error).split())[:200]}") from None

    def _decoded(self, start: int):
        """(place of the first sample, samples [C, T]) of the decoded parts from a little before `start` on."""
        from av import AudioResampler

        wanted = max(0.0, start / self.rate - _AHEAD) + self.begin
        self.container.seek(int(wanted / self.unit), stream=self.stream, backward=True)
        planar = AudioResampler(format="fltp")
        place = None
        for frame in self.container.decode(self.stream):
            for part in planar.resample(frame):
                samples = part.to_ndarray()
                if place is None or frame.pts is not None:
                    place = round(((frame.pts or 0) * self.unit - self.begin) * self.rate)
                yield place, samples
                place += samples.shape[1]

    def read(self, start: int, count: int) -> np.ndarray:
        parts: list[np.ndarray] = []
        stop = start + count
        try:
            for place, samples in self._decoded(start):
                if place >= stop:
                    break
                parts.append(samples[:, max(0, start - place) : max(0, stop - place)])
        except self.errors as error:
            raise Truncated(f"{self.name}: damaged: {' '.join(str(error).split())[:200]}") from None
        if not parts:
            return np.zeros((0, 1), np.float32)
        return np.ascontiguousarray(np.concatenate(parts, axis=1).T)[:count]

    def close(self) -> None:
        self.container.close()
