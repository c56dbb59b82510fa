"""Motions of synthetic scenes as a sensor on the object would record them (vocabulary: anyclip.readers.scenes)."""

from __future__ import annotations

from typing import Any

import numpy as np

from anyclip.readers.scenes import MOTIONS

GRAVITY = 9.81
REACH = {"small": 0.5, "medium": 1.0, "large": 2.0}


def render(
    scene: Any, rng: np.random.Generator, *, rate: float = 50.0, seconds: float = 2.0, noise: float = 0.05
) -> tuple[np.ndarray, float]:
    """(samples [T, 6], rate): acceleration in m/s² and angular rate in rad/s in the axes of the object.

    Shown factors: `motion` in the first half, `then` in the second (without it `motion` fills all), `size` as reach.
    x points right, y up, z towards the viewer; an object that grows comes nearer. What the scene does not say comes
    from `rng`: tempo, tremor, the sensors' offsets. noise: standard deviation in m/s²; a tenth of it in rad/s.
    """
    first, second = scene.factors.get("motion", "standing still"), scene.factors.get("then")
    reach = REACH.get(scene.factors.get("size", "medium"), 1.0)
    count = max(4, round(rate * seconds * rng.uniform(0.8, 1.2)))
    halves = [count] if second is None else [count // 2, count - count // 2]
    parts = [_move(MOTIONS[name], n, rate, reach) for name, n in zip((first, second), halves)]
    push = np.concatenate([p for p, _ in parts])
    turn = np.concatenate([t for _, t in parts])
    angle = np.cumsum(turn) / rate
    cos, sin = np.cos(angle), np.sin(angle)
    felt = push + np.array([0.0, GRAVITY, 0.0])  # a sensor at rest feels the ground that holds it
    turned = np.stack([cos * felt[:, 0] + sin * felt[:, 1], cos * felt[:, 1] - sin * felt[:, 0], felt[:, 2]], axis=1)
    samples = np.concatenate([turned, np.zeros((count, 2)), turn[:, None]], axis=1)
    scale = noise * np.array([1, 1, 1, 0.1, 0.1, 0.1])
    samples += scale * (rng.standard_normal(samples.shape) + rng.standard_normal(6))
    return samples.astype(np.float32), rate


def _move(change: dict[str, float], count: int, rate: float, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Acceleration [T, 3] and angular rate about z [T] of a smooth (minimum-jerk) motion over `count` samples."""
    duration = count / rate
    time = (np.arange(count) + 0.5) / count
    speed = 30 * time**2 - 60 * time**3 + 30 * time**4
    bend = 60 * time - 180 * time**2 + 120 * time**3
    nearer = np.log2(change.get("scale", 1.0)) * 0.3
    way = reach * np.array([change.get("x", 0.0), -change.get("y", 0.0), nearer])
    clockwise = np.deg2rad(change.get("turn", 0.0))
    return bend[:, None] * way / duration**2, -clockwise * speed / duration
