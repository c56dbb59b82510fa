"""What decoding gives: a cloud, with colours and normals where the file has them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


class PointWarning(UserWarning):
    """A cloud that is used although something in it was left out."""


@dataclass(frozen=True)
class Cloud:
    """points [N, 3] float32 or float64; rgb [N, 3] uint8, or float32 in 0..1; normals [N, 3] float32.

    name: for messages.
    """

    points: np.ndarray
    rgb: np.ndarray | None = None
    normals: np.ndarray | None = None
    name: str = "cloud"

    def __len__(self) -> int:
        return len(self.points)

    @property
    def colors(self) -> np.ndarray | None:
        """[N, 3] float32 in 0..1, made when asked for: most clouds are thinned first."""
        if self.rgb is None or self.rgb.dtype != np.uint8:
            return self.rgb
        return np.multiply(self.rgb, np.float32(1 / 255), dtype=np.float32)

    def map(self, function: Callable[[np.ndarray], np.ndarray]) -> Cloud:
        """Apply `function` to points, colours and normals: choose rows."""
        return Cloud(*(None if x is None else function(x) for x in (self.points, self.rgb, self.normals)), self.name)  # type: ignore[arg-type]

    def __getitem__(self, rows) -> Cloud:
        """The cloud of some rows (a slice, indices or a mask)."""
        return self.map(lambda x: x[rows])


def warn(text: str) -> None:
    """A `PointWarning` at the caller of the library."""
    warnings.warn(text, PointWarning, stacklevel=4)
