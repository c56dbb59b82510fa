"""Points on the surface of simple solids, uniform by area, each within the unit cube around the origin."""

from __future__ import annotations

import math

import numpy as np

from anyclip_pointcloud.mesh import Mesh, sample_surface

SOLIDS = {
    "circle": "a sphere",
    "square": "a cube",
    "triangle": "a cone",
    "star": "a star-shaped prism",
    "diamond": "an octahedron",
    "cross": "a cross-shaped prism",
    "heart": "a heart-shaped prism",
    "ring": "a torus",
}
"""Shape of a scene -> the solid that stands for it."""


def solid(shape: str, count: int, rng: np.random.Generator) -> np.ndarray:
    """[count, 3] float64, z towards the viewer: seen from there the solid has the outline of the shape.

    Raises KeyError for a shape that is none of `SOLIDS`.
    """
    if shape == "circle":
        points = rng.standard_normal((count, 3))
        return points / np.linalg.norm(points, axis=1, keepdims=True)
    if shape == "ring":
        return _torus(count, rng)
    if shape == "triangle":
        return _cone(count, rng)
    vertices, faces = _DIAMOND if shape == "diamond" else _prism(_OUTLINES[shape](), 0.8 if shape == "square" else 0.3)
    return _on_faces(vertices, faces, count, rng)


def _on_faces(vertices: np.ndarray, faces: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Of eight times as many even points of the surface, as many at random."""
    points = sample_surface(Mesh(np.asarray(vertices, float), np.asarray(faces)), 8 * count).points
    return points[rng.permutation(len(points))[:count]]


def _torus(count: int, rng: np.random.Generator, tube: float = 0.28) -> np.ndarray:
    """The density of the tube's angle is that of its distance from the axis (rejection sampling)."""
    around = rng.uniform(0, 2 * math.pi, count)
    angle = rng.uniform(0, 2 * math.pi, 4 * count)
    kept = angle[rng.uniform(0, 1, 4 * count) * (1 + tube) < (1 - tube) + tube * np.cos(angle)][:count]
    kept = np.resize(kept, count)
    radius = (1 - tube) + tube * np.cos(kept)
    return np.stack([radius * np.cos(around), radius * np.sin(around), tube * np.sin(kept)], axis=1)


def _cone(count: int, rng: np.random.Generator) -> np.ndarray:
    """Upright, base radius 0.95, with its base."""
    slant = math.hypot(0.95, 1.8)
    on_base = rng.uniform(size=count) < 0.95 / (0.95 + slant)
    share = np.sqrt(rng.uniform(size=count))  # of the radius: area grows with its square
    angle = rng.uniform(0, 2 * math.pi, count)
    height = np.where(on_base, -0.9, 0.9 - 1.8 * share)
    return np.stack([0.95 * share * np.cos(angle), height, 0.95 * share * np.sin(angle)], axis=1)


def _prism(outline: list[tuple[float, float]], half: float) -> tuple[np.ndarray, np.ndarray]:
    """The outline (star-shaped about the origin, y up) pulled from z = -half to half."""
    n = len(outline)
    ring = np.asarray(outline, float)
    front, back = (np.column_stack([ring, np.full(n, z)]) for z in (half, -half))
    vertices = np.concatenate([front, back, [(0, 0, half), (0, 0, -half)]])
    i, j = np.arange(n), (np.arange(n) + 1) % n
    caps = [np.stack([np.full(n, 2 * n), i, j], 1), np.stack([np.full(n, 2 * n + 1), n + j, n + i], 1)]
    walls = [np.stack([i, n + i, j], 1), np.stack([j, n + i, n + j], 1)]
    return vertices, np.concatenate([*caps, *walls])


def _star() -> list[tuple[float, float]]:
    radii = (1.0, 0.42)
    return [(radii[i % 2] * math.sin(math.pi * i / 5), radii[i % 2] * math.cos(math.pi * i / 5)) for i in range(10)]


def _cross() -> list[tuple[float, float]]:
    arm, w = 0.95, 0.32
    corners = [(w, arm), (w, w), (arm, w), (arm, -w), (w, -w), (w, -arm)]
    return corners + [(-x, -y) for x, y in corners]


def _heart() -> list[tuple[float, float]]:
    points = []
    for i in range(48):
        t = 2 * math.pi * i / 48
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((math.sin(t) ** 3 * 16 / 17, (y + 2.5) / 16))
    return points


_OUTLINES = {
    "square": lambda: [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)],
    "star": _star,
    "cross": _cross,
    "heart": _heart,
}
_DIAMOND = (
    np.array([(0.62, 0, 0), (-0.62, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 0.62), (0, 0, -0.62)], float),
    np.array([(a, b, c) for a in (0, 1) for b in (2, 3) for c in (4, 5)]),
)
