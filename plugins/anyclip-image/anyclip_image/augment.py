"""Training augmentation of uint8 pixels, drawn from a numpy Generator so that a row repeats bit for bit."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageEnhance

from anyclip_image.options import PixelOptions


@dataclass(frozen=True)
class Augment:
    """Settings; `crop_scale` None: the evaluation's crop."""

    crop_scale: tuple[float, float] | None = None
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.0
    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    jitter_prob: float = 0.8
    grayscale: float = 0.0


PRESETS = {
    "none": Augment(),
    "clip": Augment(crop_scale=(0.9, 1.0)),
    "strong": Augment(crop_scale=(0.2, 1.0), flip=0.5, jitter=(0.4, 0.4, 0.4, 0.1), grayscale=0.2),
}


def augment_from(options: PixelOptions) -> Augment:
    """The preset with the fields that the options change."""
    changed = {}
    for name in ("crop_scale", "crop_ratio", "flip", "jitter", "jitter_prob", "grayscale"):
        value = getattr(options, name)
        if value is not None:
            changed[name] = tuple(map(float, value)) if isinstance(value, list) else value
    return replace(PRESETS[options.augment], **changed)


def crop_box(
    height: int, width: int, rng: np.random.Generator, scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[int, int, int, int]:
    """(top, left, height, width) of a random crop: area share in `scale`, log-uniform shape in `ratio`.

    The Inception crop. Ten tries, then the largest middle cut within `ratio`.
    """
    log_ratio = (math.log(ratio[0]), math.log(ratio[1]))
    for _ in range(10):
        area = height * width * rng.uniform(*scale)
        shape = math.exp(rng.uniform(*log_ratio))
        w, h = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
    shape = min(max(width / height, ratio[0]), ratio[1])
    w = min(width, max(round(height * shape), 1))
    h = min(height, max(round(width / shape), 1))
    return (height - h) // 2, (width - w) // 2, h, w


def recolour(pixels: np.ndarray, rng: np.random.Generator, augment: Augment) -> np.ndarray:
    """Mirror, jitter and grey; uint8 [H, W, 3] in and out."""
    if augment.flip and rng.random() < augment.flip:
        pixels = pixels[:, ::-1]
    if any(augment.jitter) and rng.random() < augment.jitter_prob:
        pixels = _jitter(np.ascontiguousarray(pixels), rng, augment.jitter)
    if augment.grayscale and rng.random() < augment.grayscale:
        gray = Image.fromarray(np.ascontiguousarray(pixels)).convert("L")
        pixels = np.repeat(np.asarray(gray)[:, :, None], 3, axis=2)
    return pixels


def _jitter(pixels: np.ndarray, rng: np.random.Generator, strength: tuple[float, float, float, float]) -> np.ndarray:
    image = Image.fromarray(pixels)
    enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    for i in rng.permutation(4):
        if not strength[i]:
            continue
        if i < 3:
            image = enhancers[i](image).enhance(rng.uniform(max(0.0, 1 - strength[i]), 1 + strength[i]))
        else:
            image = _turn_hue(image, rng.uniform(-strength[3], strength[3]))
    return np.asarray(image)


def _turn_hue(image: Image.Image, turn: float) -> Image.Image:
    hsv = np.array(image.convert("HSV"))
    hsv[:, :, 0] += np.uint8(round(turn * 255) % 256)  # uint8 wraps round as hue does
    return Image.fromarray(hsv, "HSV").convert("RGB")
