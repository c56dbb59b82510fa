"""The processor of every image tower: decode, resize, crop, augment in uint8; normalise once per batch."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anyclip.errors import UserError
from anyclip.processors import Processor
from anyclip_image.augment import Augment, augment_from, crop_box, recolour
from anyclip_image.decode import decode
from anyclip_image.geometry import center_window, pad_to, resize, resize_window
from anyclip_image.options import ImageOptions

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


def size_of(value: Any, default: Any) -> tuple[int, int]:
    """A number, or two, as (height, width); `default` for None."""
    value = default if value is None else value
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


class ImageProcessor(Processor):
    """Path, bytes, array, PIL image -> uint8 tensor [3, H, W]; `collate` -> {"pixels": float32 [B, 3, H, W]}."""

    def __init__(self, preprocess: Preprocess, options: ImageOptions):
        declared = preprocess
        self.preprocess = Preprocess(
            size=size_of(options.image_size, declared.size),
            mean=tuple(options.mean or declared.mean),
            std=tuple(options.std or declared.std),
            interpolation=options.interpolation or declared.interpolation,
            eval_crop=options.eval_crop or declared.eval_crop,
            crop_pct=options.crop_pct or declared.crop_pct,
        )
        self.augment: Augment = augment_from(options)
        self.backend = _choose_backend(options.backend)
        self.draft = options.draft
        self.max_pixels = options.max_pixels

    @property
    def deterministic(self) -> bool:
        return self.augment.crop_scale is None and not (self.augment.flip or self.augment.grayscale or self._jitters)

    @property
    def _jitters(self) -> bool:
        return any(self.augment.jitter) and self.augment.jitter_prob > 0

    def load(self, value: Any, *, rng: np.random.Generator | None = None) -> Tensor:
        """uint8 [3, H, W]. `rng` None: the deterministic evaluation crop."""
        draft = self.preprocess.size if self.draft else None
        pixels = decode(value, max_pixels=self.max_pixels, backend=self.backend, draft=draft)
        pixels = self._eval_crop(pixels) if rng is None else self._train_crop(pixels, rng)
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.uint8).copy())

    def _eval_crop(self, pixels: np.ndarray) -> np.ndarray:
        p, by_torch = self.preprocess, self.backend == "torchvision"
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
            pixels = resize(pixels, p.size, p.interpolation, by_torch=self.backend == "torchvision")
        return recolour(pixels, rng, a)

    def collate(self, samples: list[Tensor]) -> dict[str, Tensor]:
        """uint8 samples -> {"pixels": float32 [B, 3, H, W]}, (x / 255 - mean) / std as torchvision orders it."""
        mean = torch.tensor(self.preprocess.mean).view(1, 3, 1, 1)
        std = torch.tensor(self.preprocess.std).view(1, 3, 1, 1)
        return {"pixels": torch.stack(samples).float().div_(255).sub_(mean).div_(std)}

    def placeholder(self) -> Tensor:
        return torch.zeros(3, *self.preprocess.size, dtype=torch.uint8)


def _choose_backend(wanted: str) -> str:
    if wanted == "pil":
        return "pil"
    if _torchvision_decodes():
        return "torchvision"
    if wanted == "torchvision":
        raise UserError(
            "backend: torchvision needs a torchvision that was built with libjpeg.",
            hint="Use backend: pil.",
            next="pip install --force-reinstall torchvision",
        )
    return "pil"


@functools.cache
def _torchvision_decodes() -> bool:
    """Whether the compiled image extension is there (source builds may lack it)."""
    try:
        from torchvision.io import encode_jpeg

        encode_jpeg(torch.zeros(3, 8, 8, dtype=torch.uint8))
    except (ImportError, RuntimeError, AttributeError):
        return False
    return True
