"""Clouds of synthetic scenes: a coloured solid before a plain wall (vocabulary: anyclip.readers.scenes)."""

from __future__ import annotations

from typing import Any

import numpy as np

from anyclip.readers.scenes import COLOURS, POSITIONS, SIZES
from anyclip_pointcloud.augment import rotation
from anyclip_pointcloud.solids import solid

_WALL = ("size", "position", "background")  # what only shows against something that stays


def render(
    scene: Any,
    rng: np.random.Generator,
    *,
    points: int = 1024,
    noise: float = 0.01,
    jitter: float = 0.03,
    turn: float = 12.0,
    tint: float = 0.06,
    wall: float = 0.3,
) -> dict[str, np.ndarray]:
    """{"points": float32 [N, 3], "colors": float32 [N, 3] in 0..1}; y is up, z towards the viewer.

    `shape` is a solid (see `solids.SOLIDS`), `colour` its colour; where the scene has a size, position or background,
    a square wall of side 1 stands behind it and shows them. Factors that are absent: a grey sphere of medium size in
    the centre. What the scene does not say comes from `rng`: noise (standard deviation of each coordinate), jitter
    (largest shift, and change of the size as a share of it), turn (largest rotation about each axis, in degrees), tint
    (largest change of each colour, 0..1). wall: share of the points on the wall.
    """
    get = scene.factors.get
    behind = round(points * wall) if any(name in scene.factors for name in _WALL) else 0
    cloud = solid(get("shape", "circle"), points - behind, rng)
    cloud = cloud @ rotation(np.radians(rng.uniform(-turn, turn, 3))).T
    x, y = POSITIONS[get("position", "centre")]
    shift_x, shift_y, grow = rng.uniform(-jitter, jitter, 3)
    extent = SIZES[get("size", "medium")] * (1 + grow)
    centre = (_inside(x + shift_x, extent) - 0.5, 0.5 - _inside(y + shift_y, extent), 0.0)
    cloud = cloud * (extent / 2) + centre
    plane = np.column_stack([rng.uniform(-0.5, 0.5, (behind, 2)), np.full(behind, -0.3)])
    colors = [
        np.tile(_tinted(COLOURS[get(name, default)], rng, tint), (count, 1))
        for name, default, count in (("colour", "grey", len(cloud)), ("background", "white", behind))
    ]
    everything = np.concatenate([cloud, plane])
    everything += noise * rng.standard_normal(everything.shape)
    return {"points": everything.astype(np.float32), "colors": np.concatenate(colors).astype(np.float32)}


def _inside(centre: float, extent: float) -> float:
    """Keep the whole object before the wall."""
    return min(max(centre, extent / 2), 1 - extent / 2)


def _tinted(rgb: tuple[int, int, int], rng: np.random.Generator, tint: float) -> np.ndarray:
    return np.clip(np.asarray(rgb) / 255 + rng.uniform(-tint, tint, 3), 0, 1)
