"""The processor of every image tower: decode, transform in uint8, normalise once per batch."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anyclip.errors import UserError
from anyclip.processors import Processor
from anyclip_image.decode import decode
from anyclip_image.options import ImageOptions
from anyclip_image.transform import (
    CLIP_MEAN,
    CLIP_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    PixelTransform,
    Preprocess,
    size_of,
)

__all__ = ["CLIP_MEAN", "CLIP_STD", "IMAGENET_MEAN", "IMAGENET_STD", "ImageProcessor", "Preprocess", "size_of"]


class ImageProcessor(Processor):
    """Path, bytes, array, PIL image -> uint8 tensor [3, H, W]; `collate` -> {"pixels": float32 [B, 3, H, W]}."""

    def __init__(self, preprocess: Preprocess, options: ImageOptions):
        self.backend = choose_pixel_backend(options.backend)
        self.transform = PixelTransform.of(preprocess, options, by_torch=self.backend == "torchvision")
        self.draft = options.draft
        self.max_pixels = options.max_pixels

    @property
    def deterministic(self) -> bool:
        return self.transform.deterministic

    @property
    def preprocess(self) -> Preprocess:
        """What the model declares, with the user's changes."""
        return self.transform.preprocess

    def load(self, value: Any, *, rng: np.random.Generator | None = None) -> Tensor:
        """uint8 [3, H, W]. `rng` None: the deterministic evaluation crop."""
        draft = self.preprocess.size if self.draft else None
        pixels = decode(value, max_pixels=self.max_pixels, backend=self.backend, draft=draft)
        pixels = self.transform(pixels, rng)
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.uint8).copy())

    def collate(self, samples: list[Tensor]) -> dict[str, Tensor]:
        """uint8 samples -> {"pixels": float32 [B, 3, H, W]}, normalised."""
        return {"pixels": self.transform.normalise(torch.stack(samples))}

    def placeholder(self) -> Tensor:
        return torch.zeros(3, *self.preprocess.size, dtype=torch.uint8)


def choose_pixel_backend(wanted: str) -> str:
    """`torchvision` or `pil`, for decoding and resizing. Raises UserError."""
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
