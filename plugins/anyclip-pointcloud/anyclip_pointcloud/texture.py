"""The picture on some faces of a mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Texture:
    """Colours of the faces first .. last - 1: pixels uint8 [H, W, 3]; v grows upwards from the last row."""

    first: int
    last: int
    pixels: np.ndarray

    def colors(self, uv: np.ndarray) -> np.ndarray:
        """float32 [N, 3] in 0..1 of the nearest pixels at uv [N, 2]; outside 0..1 the picture repeats."""
        uv = np.nan_to_num(uv) % 1.0
        height, width = self.pixels.shape[:2]
        x = np.minimum((uv[:, 0] * width).astype(int), width - 1)
        y = np.minimum(((1 - uv[:, 1]) * height).astype(int), height - 1)
        return self.pixels[y, x] * np.float32(1 / 255)
