"""Pictures of synthetic scenes: one coloured shape on a plain background (vocabulary: anyclip.readers.scenes)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from anyclip.readers.scenes import COLOURS, POSITIONS, SIZES

_DEFAULTS = {"shape": "circle", "colour": "grey", "size": "medium", "position": "centre", "background": "white"}
_OVERSAMPLE = 4  # drawn this much larger, then averaged: smooth edges


def render(
    scene: Any,
    rng: np.random.Generator,
    *,
    size: int = 64,
    noise: float = 0.02,
    jitter: float = 0.03,
    turn: float = 12.0,
    tint: float = 0.06,
) -> np.ndarray:
    """The scene as uint8 [size, size, 3].

    Factors `shape`, `colour`, `size`, `position` and `background` are shown, others ignored; one that is absent takes a
    plain default. What the scene does not say comes from `rng`: noise (standard deviation of pixels, 0..1), jitter
    (largest shift of the centre, share of the canvas, and of the extent, share of itself), turn (largest rotation in
    degrees), tint (largest change of each colour, 0..1).
    """
    factors = {name: scene.factors.get(name, default) for name, default in _DEFAULTS.items()}
    x, y = POSITIONS[factors["position"]]
    shift_x, shift_y, grow = rng.uniform(-jitter, jitter, 3)
    extent = SIZES[factors["size"]] * (1 + grow)
    angle = math.radians(rng.uniform(-turn, turn))
    back = tinted(COLOURS[factors["background"]], rng, tint)
    colour = tinted(COLOURS[factors["colour"]], rng, tint)
    centre = (_inside(x + shift_x, extent), _inside(y + shift_y, extent))
    pixels = picture(factors["shape"], colour, back, centre, extent, angle, size)
    return speckled(pixels, rng, noise)


def picture(
    shape: str,
    colour: np.ndarray,
    back: np.ndarray,
    centre: tuple[float, float],
    extent: float,
    angle: float,
    size: int,
) -> np.ndarray:
    """float32 [size, size, 3] in 0..255: one shape on a plain background.

    colour, back: RGB in 0..255. centre, extent: x, y and width in shares of the canvas. angle: radians, clockwise.
    """
    canvas = size * _OVERSAMPLE
    mask = _mask(shape, canvas, (centre[0] * canvas, centre[1] * canvas), extent * canvas / 2, angle)
    cover = np.asarray(mask.resize((size, size), Image.Resampling.BOX), dtype=np.float32)[:, :, None] / 255
    return cover * colour + (1 - cover) * back


def speckled(pixels: np.ndarray, rng: np.random.Generator, noise: float) -> np.ndarray:
    """float 0..255 -> uint8 with noise (standard deviation in 0..1)."""
    if noise:
        pixels = pixels + 255 * noise * rng.standard_normal(pixels.shape, dtype=np.float32)
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8)


def _inside(centre: float, extent: float) -> float:
    """Keep the whole object on the canvas."""
    return min(max(centre, extent / 2), 1 - extent / 2)


def tinted(rgb: tuple[int, int, int], rng: np.random.Generator, tint: float) -> np.ndarray:
    """A colour, each part changed by at most `tint` (0..1), float32 [3]."""
    return np.clip(np.asarray(rgb, dtype=np.float32) + 255 * rng.uniform(-tint, tint, 3), 0, 255).astype(np.float32)


def _mask(shape: str, canvas: int, centre: tuple[float, float], radius: float, angle: float) -> Image.Image:
    """The shape in white on black, 8 bits, [canvas, canvas]."""
    image = Image.new("L", (canvas, canvas), 0)
    draw = ImageDraw.Draw(image)
    if shape in ("circle", "ring"):
        _disc(draw, centre, radius, 255)
        if shape == "ring":
            _disc(draw, centre, 0.55 * radius, 0)
        return image
    cos, sin = math.cos(angle), math.sin(angle)
    points = [
        (centre[0] + radius * (x * cos - y * sin), centre[1] + radius * (x * sin + y * cos)) for x, y in outline(shape)
    ]
    draw.polygon(points, fill=255)
    return image


def _disc(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radius: float, fill: int) -> None:
    draw.ellipse((centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius), fill=fill)


def outline(shape: str) -> list[tuple[float, float]]:
    """Corners in units of the radius, y down. Raises KeyError for a shape without corners or an unknown one."""
    return {
        "square": lambda: [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)],
        "triangle": lambda: [(0.0, -1.0), (0.95, 0.8), (-0.95, 0.8)],
        "diamond": lambda: [(0.0, -1.0), (0.62, 0.0), (0.0, 1.0), (-0.62, 0.0)],
        "star": _star,
        "cross": _cross,
        "heart": _heart,
    }[shape]()


def _star() -> list[tuple[float, float]]:
    radii = (1.0, 0.42)
    return [(radii[i % 2] * math.sin(math.pi * i / 5), -radii[i % 2] * math.cos(math.pi * i / 5)) for i in range(10)]


def _cross() -> list[tuple[float, float]]:
    arm, w = 0.95, 0.32
    right = [(w, -arm), (w, -w), (arm, -w), (arm, w), (w, w), (w, arm)]
    return right + [(-x, -y) for x, y in right]


def _heart() -> list[tuple[float, float]]:
    """The classic parametric heart, scaled into the unit square."""
    points = []
    for i in range(48):
        t = 2 * math.pi * i / 48
        x = 16 * math.sin(t) ** 3
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((x / 17, -(y + 2.5) / 16))
    return points
