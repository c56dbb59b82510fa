"""Decoded pixels -> what the model sees: resize, crop, augment in uint8; normalise once per batch.

Used by the processor of pictures and by that of videos, which gives every frame of a clip the same draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anyclip_image.augment import Augment, augment_from, crop_box, recolour
from anyclip_image.geometry import center_window, pad_to, resize, resize_window
from anyclip_image.options import PixelOptions

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocess:
    """What a model declares about its input; `size` is (height, width)."""

    size: tuple[int, int] = (224, 224)
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD
    interpolation: str = "bicubic"
    eval_crop: str = "center"
    crop_pct: float = 1.0

    @staticmethod
    def of(declared: dict[str, Any]) -> Preprocess:
        """From the JSON of `asdict`, or a part of it."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in declared.items()}
        return Preprocess(**values)

    def with_options(self, options: PixelOptions) -> Preprocess:
        """What the user's options change."""
        return Preprocess(
            size=size_of(options.image_size, self.size),
            mean=tuple(options.mean or self.mean),
            std=tuple(options.std or self.std),
            interpolation=options.interpolation or self.interpolation,
            eval_crop=options.eval_crop or self.eval_crop,
            crop_pct=options.crop_pct or self.crop_pct,
        )


def size_of(value: Any, default: Any) -> tuple[int, int]:
    """A number, or two, as (height, width); `default` for None."""
    value = default if value is None else value
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


@dataclass(frozen=True)
class PixelTransform:
    """uint8 [H, W, 3] -> uint8 [h, w, 3] of the model's size.

    by_torch: resize with torch's uint8 kernel, else with Pillow.
    """

    preprocess: Preprocess
    augment: Augment
    by_torch: bool

    @staticmethod
    def of(declared: Preprocess, options: PixelOptions, *, by_torch: bool) -> PixelTransform:
        """What the model declares, with the user's changes and augmentation."""
        return PixelTransform(declared.with_options(options), augment_from(options), by_torch)

    @property
    def deterministic(self) -> bool:
        """Whether it draws nothing."""
        jitters = any(self.augment.jitter) and self.augment.jitter_prob > 0
        return self.augment.crop_scale is None and not (self.augment.flip or self.augment.grayscale or jitters)

    def __call__(self, pixels: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """`rng` None: the deterministic evaluation crop. The same state of `rng` and size give the same crop."""
        return self._eval_crop(pixels) if rng is None else self._train_crop(pixels, rng)

    def _eval_crop(self, pixels: np.ndarray) -> np.ndarray:
        p, by_torch = self.preprocess, self.by_torch
        if p.eval_crop == "pad":
            fill = tuple(round(255 * m) for m in p.mean)
            return pad_to(pixels, p.size, fill, p.interpolation, by_torch=by_torch)
        if p.eval_crop == "squash":
            return resize(pixels, p.size, p.interpolation, by_torch=by_torch)
        window = center_window(pixels.shape[0], pixels.shape[1], p.size, p.crop_pct)
        return resize_window(pixels, window, p.interpolation, by_torch=by_torch)

    def _train_crop(self, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        p, a = self.preprocess, self.augment
        if a.crop_scale is None:
            pixels = self._eval_crop(pixels)
        else:
            top, left, height, width = crop_box(pixels.shape[0], pixels.shape[1], rng, a.crop_scale, a.crop_ratio)
            pixels = np.ascontiguousarray(pixels[top : top + height, left : left + width])
            pixels = resize(pixels, p.size, p.interpolation, by_torch=self.by_torch)
        return recolour(pixels, rng, a)

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 [..., 3, h, w] -> float32, (x / 255 - mean) / std in the order of torchvision's operations."""
        mean = torch.tensor(self.preprocess.mean).view(3, 1, 1)
        std = torch.tensor(self.preprocess.std).view(3, 1, 1)
        return pixels.float().div_(255).sub_(mean).div_(std)
