"""Pictures of clouds: orthographic views, drawn in numpy."""

from __future__ import annotations

import numpy as np

from anyclip_pointcloud.cloud import Cloud

_VIEWS = ((0, 1, 2), (2, 1, 0), (0, 2, 1))
"""front, side, top: the axes to the right, upwards, towards the viewer (of clouds whose y is up)."""
_SIGNS = ((1, 1, 1), (-1, 1, 1), (1, -1, 1))
_PLAIN = np.array([70, 120, 190], np.float32)


def draw_views(cloud: Cloud, side: int = 112, most: int = 20_000) -> np.ndarray:
    """Front, side and top view beside each other, uint8 [side, 3 * side, 3], on white.

    Nearer points hide farther ones; a cloud without colours is blue; farther points are paler.
    """
    cloud = cloud[:: -(-len(cloud) // most)]
    points = np.asarray(cloud.points, dtype=np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    points = (points - (low + high) / 2) / max(float((high - low).max()) / 2, np.finfo(float).tiny)
    colors = np.broadcast_to(_PLAIN, points.shape) if cloud.colors is None else cloud.colors * np.float32(255)
    views = [_view(points[:, axes] * signs, colors, side) for axes, signs in zip(_VIEWS, _SIGNS)]
    return np.concatenate(views, axis=1)


def _view(points: np.ndarray, colors: np.ndarray, side: int) -> np.ndarray:
    """points: right, up, towards the viewer, in -1..1. Each is a square of 2 x 2 or, of few, 3 x 3 pixels."""
    size = 3 if len(points) < 1500 else 2
    margin = 3
    place = np.round((points[:, :2] * (1, -1) + 1) / 2 * (side - 1 - size - 2 * margin)).astype(int) + margin
    order = np.argsort(points[:, 2], kind="stable")  # the nearest are painted last
    place, depth = place[order], points[order, 2:]
    shade = np.float32(0.55) * ((1 - depth) / 2).astype(np.float32)
    painted = colors[order] * (1 - shade) + 255 * shade * np.float32(0.85)
    canvas = np.full((side, side, 3), 255, np.uint8)
    for dx in range(size):
        for dy in range(size):
            canvas[place[:, 1] + dy, place[:, 0] + dx] = painted.astype(np.uint8)
    return canvas
