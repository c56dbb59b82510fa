"""Training augmentation of a normalised cloud; every draw comes from the row's own generator."""

from __future__ import annotations

import math

import numpy as np

from anyclip_pointcloud.strengths import Augment


def rotation(angles: np.ndarray) -> np.ndarray:
    """Rotation matrix [3, 3] about x, then y, then z by angles [3] in radians."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def change_shape(
    points: np.ndarray, normals: np.ndarray | None, rng: np.random.Generator, augment: Augment, up: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Turned, scaled, shifted, jittered points [N, 3] and their turned normals. up: number of the up axis."""
    if augment.rotate or augment.tilt:
        most = np.full(3, augment.tilt)
        most[up] = augment.rotate
        tilts = rng.uniform(-1, 1, 3) * most * (math.pi / 180)
        turn = np.zeros(3)
        turn[up], tilts[up] = tilts[up], 0.0  # first about the upright axis, then tilted
        matrix = (rotation(tilts) @ rotation(turn)).astype(np.float32)
        points, normals = points @ matrix.T, None if normals is None else normals @ matrix.T
    if augment.scale > 1:
        points = points * np.float32(math.exp(rng.uniform(-1, 1) * math.log(augment.scale)))
    if augment.shift:
        points = points + rng.uniform(-augment.shift, augment.shift, 3).astype(np.float32)
    if augment.jitter:
        noise = rng.standard_normal(points.shape, dtype=np.float32)
        points = points + np.float32(augment.jitter) * noise.clip(-5, 5)
    return points, normals


def dropped(n: int, rng: np.random.Generator, augment: Augment) -> np.ndarray | None:
    """Rows [N] with dropped points replaced by row 0 (PointNet++: the number of points stays), or None."""
    if not augment.drop:
        return None
    rows = np.arange(n)
    rows[rng.random(n) < rng.random() * augment.drop] = 0
    return rows
