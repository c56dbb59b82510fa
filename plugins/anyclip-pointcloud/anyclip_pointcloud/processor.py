"""The processor of every point-cloud tower: decode, clean, choose points, turn, normalise, augment."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from anyclip.errors import BadSample
from anyclip.processors import Processor
from anyclip_pointcloud.augment import change_shape, dropped
from anyclip_pointcloud.cloud import Cloud, warn
from anyclip_pointcloud.decode import decode
from anyclip_pointcloud.meshes import require_backend
from anyclip_pointcloud.normals import estimate_normals
from anyclip_pointcloud.ops import farthest_indices
from anyclip_pointcloud.options import PointOptions
from anyclip_pointcloud.strengths import Augment, augment_from

Sample = dict[str, Tensor]
_AXES = "xyz"


class PointProcessor(Processor):
    """Path, URL, bytes, array, {"points": ..., "colors": ...} -> {"points": float32 [N, 3]}, N = `options.points`.

    With `options.colors` also "colors" [N, 3] in 0..1, with `options.normals` "normals" [N, 3]. `collate` puts rows on
    axis 0. In evaluation the same file gives the same points.
    """

    def __init__(self, options: PointOptions):
        self.points, self.colors, self.normals = options.points, options.colors, options.normals
        self.missing_color, self.normalize = options.missing_color, options.normalize
        self.up, self.tower_up = _AXES.index(options.up), _AXES.index(options.tower_up)
        self.sample, self.train_sample, self.pool = options.sample, options.train_sample, max(options.pool, 1)
        self.outliers, self.read_at_most = options.outliers, options.read_at_most
        self.backend = require_backend(options.backend)
        self.augment: Augment = augment_from(options)

    @property
    def deterministic(self) -> bool:
        """Training samples are those of evaluation."""
        return self.train_sample == "same" and self.augment == Augment()

    def load(self, value: Any, *, rng: np.random.Generator | None = None) -> Sample:
        """`rng` None: the deterministic points of evaluation. Raises BadSample(reason)."""
        surface = max(self.pool, self.points)
        cloud = decode(value, surface=surface, most=self.read_at_most, colors=self.colors, backend=self.backend)
        cloud = without_outliers(cloud, self.outliers)
        middle = np.median(cloud.points, axis=0)  # near 0, so that float32 holds georeferenced coordinates
        with np.errstate(over="ignore"):  # told below
            points = np.ascontiguousarray(cloud.points - middle, dtype=np.float32)
        if not np.isfinite(points).all():
            raise BadSample(f"{cloud.name}: its coordinates are too large")
        rows = self._rows(points, rng)
        points, normals = points[rows], self._normals(cloud, points[rows], rows)
        points, normals = self._turned(points), None if normals is None else self._turned(normals)
        points = normalized(points, self.normalize) if self.normalize != "none" else points + self._turned(middle[None])
        return self._sample(points, self._colors(cloud, rows), normals, rng)

    def _rows(self, points: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """The rows of a cloud that stand for it, `self.points` of them."""
        n, wanted = len(points), self.points
        if rng is not None and self.train_sample == "random":
            rows = rng.permutation(n) if n <= wanted else rng.choice(n, wanted, replace=False, shuffle=True)
        elif n <= wanted or self.sample == "first":
            rows = np.arange(min(n, wanted))
        elif self.sample == "stride":
            rows = evenly(n, wanted)
        else:
            pool = evenly(n, min(n, max(self.pool, wanted)))
            rows = pool if len(pool) == wanted else pool[farthest_indices(points[pool], wanted)]
        return np.resize(rows, wanted)  # fewer repeat

    def _normals(self, cloud: Cloud, points: np.ndarray, rows: np.ndarray) -> np.ndarray | None:
        if not self.normals:
            return None
        return estimate_normals(points) if cloud.normals is None else cloud.normals[rows]

    def _colors(self, cloud: Cloud, rows: np.ndarray) -> np.ndarray | None:
        if not self.colors:
            return None
        colors = cloud[rows].colors
        return np.full((len(rows), 3), self.missing_color, np.float32) if colors is None else colors

    def _turned(self, vectors: np.ndarray) -> np.ndarray:
        """A quarter turn that brings the up axis of the files onto that of the tower: (x, z, -y) from z to y."""
        if self.up == self.tower_up:
            return vectors
        turned = vectors.copy()
        turned[:, self.tower_up], turned[:, self.up] = vectors[:, self.up], -vectors[:, self.tower_up]
        return turned

    def _sample(
        self, points: np.ndarray, colors: np.ndarray | None, normals: np.ndarray | None, rng: np.random.Generator | None
    ) -> Sample:
        parts = {"points": points, "colors": colors, "normals": normals}
        if rng is not None:
            parts["points"], parts["normals"] = change_shape(points, normals, rng, self.augment, self.tower_up)
            kept = dropped(len(points), rng, self.augment)
            if kept is not None:
                parts = {name: None if x is None else x[kept] for name, x in parts.items()}
            if self.augment.color_drop and rng.random() < self.augment.color_drop and colors is not None:
                parts["colors"] = np.full_like(colors, self.missing_color)
        kept_parts = {name: x for name, x in parts.items() if x is not None}
        return {name: torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)) for name, x in kept_parts.items()}

    def collate(self, samples: list[Sample]) -> Sample:
        """{"points": [B, N, 3]} and, where asked for, "colors" and "normals" of that shape."""
        return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}

    def placeholder(self) -> Sample:
        """A sphere's points, always the same."""
        points = spiral(self.points)
        colors = np.full_like(points, self.missing_color) if self.colors else None
        return self._sample(points, colors, points if self.normals else None, None)


def evenly(n: int, wanted: int) -> np.ndarray:
    """`wanted` of the indices 0 .. n-1, evenly spread, in order."""
    return np.arange(wanted, dtype=np.int64) * n // wanted


def normalized(points: np.ndarray, kind: str) -> np.ndarray:
    """Centred, and the farthest point at distance 1; a cloud without extent lies in the middle."""
    if kind == "box":
        middle = (points.min(axis=0) + points.max(axis=0)) / 2
    else:
        middle = points.mean(axis=0, dtype=np.float64).astype(np.float32)
    points = points - middle
    size = np.abs(points).max()
    if not size > 0:
        return points
    points = points / size  # no square overflows or underflows
    return points / np.sqrt((points**2).sum(axis=1).max())


def without_outliers(cloud: Cloud, factor: float | None) -> Cloud:
    """The cloud less its far points, with a warning, when they are at most 1 in 100.

    Far: more than `factor` median distances from the componentwise median.
    """
    if factor is None or len(cloud) < 100:
        return cloud
    distances = np.linalg.norm(cloud.points - np.median(cloud.points, axis=0), axis=1)
    usual = np.median(distances)
    far = distances > factor * usual
    count = int(far.sum()) if usual > 0 else 0
    if not count or count > len(cloud) // 100:
        return cloud
    warn(f"{cloud.name}: {count} of {len(cloud)} points lie far outside and are left out (option outliers)")
    return cloud[~far]


def spiral(n: int) -> np.ndarray:
    """n points on the unit sphere, evenly along a spiral, float32 [n, 3]."""
    height = 1 - 2 * (np.arange(n) + 0.5) / n
    angle = np.arange(n) * np.pi * (3 - 5**0.5)
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(angle), height, radius * np.sin(angle)], axis=1).astype(np.float32)
