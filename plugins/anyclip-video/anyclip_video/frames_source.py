"""Frames that are there already: arrays, tensors, folders and lists of pictures."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from anyclip_image.decode import decode as decode_image
from anyclip_image.plugin import SUFFIXES as PICTURES

from anyclip.errors import BadSample
from anyclip_video.source import VideoSource

RATE = 25.0  # frames a second, where nobody says


class FramesSource(VideoSource):
    """pictures: values of the image modality, decoded when they are asked for. rate: frames a second."""

    def __init__(self, pictures: Sequence[Any], name: str, rate: Any = None, max_pixels: int = 2**26):
        rate = RATE if rate is None else rate
        if isinstance(rate, bool) or not isinstance(rate, (int, float, np.number)) or not rate > 0:
            raise BadSample(f"{name}: frames a second are a positive number, not {rate!r}")
        if not len(pictures):
            raise BadSample(f"{name}: has no frames")
        self.pictures, self.name, self.max_pixels = pictures, name, max_pixels
        self.count, self.end = len(pictures), len(pictures) / float(rate)

    def read(self, indices: Sequence[int]) -> Iterator[np.ndarray]:
        for index in indices:
            yield decode_image(self.pictures[index], max_pixels=self.max_pixels)

    def read_at(self, seconds: Sequence[float]) -> Iterator[np.ndarray]:
        yield from self.read([min(int(t * self.count / self.end + 1e-6), self.count - 1) for t in seconds])


def array_frames(array: Any) -> Sequence[Any]:
    """An array [T, H, W(, 3)] or a tensor [T, 3, H, W] as frames. Raises BadSample."""
    if hasattr(array, "detach"):  # a tensor
        array = array.detach().cpu().numpy()
        array = np.moveaxis(array, 1, -1) if array.ndim == 4 else array
    array = np.asarray(array)
    colours = array.ndim == 4 and array.shape[3] in (1, 2, 3, 4)
    if array.dtype.kind not in "buif" or not (array.ndim == 3 or colours) or 0 in array.shape:
        shape = list(array.shape)
        raise BadSample(f"an array is [T, H, W, 3], a tensor [T, 3, H, W]; this is {array.dtype} {shape}")
    return array


def folder_frames(folder: str) -> list[str]:
    """The pictures of a folder in the order of their names, where numbers count as numbers. Raises BadSample."""
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.name.lower().endswith(PICTURES)]
    except OSError as error:
        raise BadSample(f"{folder}: cannot be read: {error}") from error
    if not names:
        raise BadSample(f"{folder}: a folder without pictures")
    names.sort(key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)])
    return [str(Path(folder, name)) for name in names]
