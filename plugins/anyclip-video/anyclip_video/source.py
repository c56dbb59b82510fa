"""The interface of a decoder: a video whose frames are read by number or by time."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from anyclip.errors import BadSample

CHUNK_BYTES = 1 << 25  # decoded pixels that a decoder hands over at a time


class VideoSource(ABC):
    """An open video.

    name: of the file. count: its frames. begin, end: its seconds, of the first frame and behind the last one.
    size: (height, width), where it is known before a frame is decoded. A rotation in the metadata is applied to frames.
    """

    name: str
    count: int
    begin: float = 0.0
    end: float
    size: tuple[int, int] | None = None

    @property
    def rate(self) -> float:
        """Frames a second, on average."""
        return self.count / (self.end - self.begin) if self.end > self.begin else 1.0

    @abstractmethod
    def read(self, indices: Sequence[int]) -> Iterator[np.ndarray]:
        """uint8 [H, W, 3] of each of the frames, whose numbers rise; never all of them at once. Raises BadSample."""

    @abstractmethod
    def read_at(self, seconds: Sequence[float]) -> Iterator[np.ndarray]:
        """The same for the frames that are shown at rising moments begin <= t < end."""

    def close(self) -> None:  # noqa: B027 (nothing to close by default)
        """Give the file back."""

    def __enter__(self) -> VideoSource:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def chunks(self, asked: Sequence[Any]) -> Iterator[Sequence[Any]]:
        """Parts of a list of frames whose pixels take at most `CHUNK_BYTES`."""
        start = 0
        while start < len(asked):  # of unknown size: one frame, behind which `read` knows it
            step = 1 if self.size is None else max(1, CHUNK_BYTES // max(1, self.size[0] * self.size[1] * 3))
            yield asked[start : start + step]
            start += step

    def damaged(self, error: BaseException) -> BadSample:
        """A decoder's error, in one line, as the BadSample to raise."""
        return BadSample(f"{self.name}: damaged: {one_line(error)}")


def one_line(error: BaseException) -> str:
    """An error's text in one line, without times and places in a decoder's own sources."""
    text = " ".join(str(error).split())
    if re.search("best video stream is unknown|cannot find video stream", text):
        return "has no video stream"
    text = re.sub(
        r"\[\d\d:\d\d:\d\d\] ?|(decode_av_frame, )?\S*/(__w|github)/\S+ ?|Stack trace.*|Debug Context.*", "", text
    )
    return text.strip(" ,:")[:200] or type(error).__name__
