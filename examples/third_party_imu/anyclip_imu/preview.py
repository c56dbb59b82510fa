"""A drawing of a recording for reports."""

from __future__ import annotations

from typing import Any

import numpy as np

from anyclip_imu.recording import decode

COLOURS = ("#c0392b", "#27ae60", "#2980b9")
WIDTH, HEIGHT = 240, 48


def preview(value: Any) -> str:
    """Self-contained SVG: acceleration above, angular rate below, x, y and z in three colours."""
    values, rate = decode(value)
    values = values[:: max(1, len(values) // 240)]
    lines = "".join(_lines(values[:, part : part + 3], top) for part, top in ((0, 0), (3, HEIGHT)))
    title = f"<title>{len(values)} samples at {rate:g} Hz</title>"
    return f'<svg width="{WIDTH}" height="{2 * HEIGHT}" fill="none">{title}{lines}</svg>'


def _lines(values: np.ndarray, top: int) -> str:
    values = values - values.mean(axis=0)
    size = max(float(np.abs(values).max()), 1e-6)
    x = np.linspace(0, WIDTH, len(values))
    found = []
    for column, colour in zip(values.T, COLOURS):
        y = top + HEIGHT / 2 * (1 - 0.95 * column / size)
        points = " ".join(f"{a:.0f},{b:.1f}" for a, b in zip(x, y))
        found.append(f'<polyline points="{points}" stroke="{colour}"/>')
    return "".join(found)
