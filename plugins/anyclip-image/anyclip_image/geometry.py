"""Resizing and cropping of uint8 pixels, with bounded intermediates whatever the aspect ratio.

Sizes and offsets follow torchvision's `Resize` (long side cut off, not rounded) and `CenterCrop` (offset rounded),
which open_clip uses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

_PIL = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
}
_LARGEST = 16  # a full resize of more than this times the window is not made; only the window is computed


@dataclass(frozen=True)
class Window:
    """Resize to `full` (height, width), then keep the `size` (height, width) at `offset` (top, left)."""

    full: tuple[int, int]
    offset: tuple[int, int]
    size: tuple[int, int]


def center_window(height: int, width: int, size: tuple[int, int], crop_pct: float = 1.0) -> Window:
    """Shorter side (relative to `size`) to size / crop_pct, middle cut out."""
    outer_h, outer_w = (max(round_down(s / crop_pct), s) for s in size)
    if width * outer_h <= height * outer_w:  # the width is the shorter side
        full = (max(int(outer_w * height / width), outer_h), outer_w)
    else:
        full = (outer_h, max(int(outer_h * width / height), outer_w))
    offset = (round((full[0] - size[0]) / 2.0), round((full[1] - size[1]) / 2.0))
    return Window(full, offset, size)


def round_down(value: float) -> int:
    """floor, forgiving the last bits of a division (224 / 0.875 is 256)."""
    return int(value + 1e-6)


def resize(pixels: np.ndarray, size: tuple[int, int], interpolation: str, *, by_torch: bool) -> np.ndarray:
    """uint8 [H, W, 3] -> uint8 [*size, 3], antialiased.

    by_torch: torch's uint8 kernel (0.3 of Pillow's time, at most 1 of 255 away) where it has the interpolation.
    """
    if pixels.shape[:2] == tuple(size):
        return pixels
    if by_torch and interpolation in ("bicubic", "bilinear"):
        chw = torch.from_numpy(_writable(pixels)).permute(2, 0, 1)[None]
        out = F.interpolate(chw, size=size, mode=interpolation, antialias=True, align_corners=False)
        return out[0].permute(1, 2, 0).numpy()
    image = Image.fromarray(pixels).resize((size[1], size[0]), _PIL[interpolation])
    return np.asarray(image)


def resize_window(pixels: np.ndarray, window: Window, interpolation: str, *, by_torch: bool) -> np.ndarray:
    """The window of the resized pixels, uint8 [*window.size, 3].

    A 4000 x 1 line would grow to 896,000 x 224: there only the window is resampled (Pillow's `box`, same filter taps;
    at most 1 of 255 away).
    """
    (top, left), (height, width) = window.offset, window.size
    if window.full[0] * window.full[1] <= _LARGEST * height * width:
        full = resize(pixels, window.full, interpolation, by_torch=by_torch)
        return full[top : top + height, left : left + width]
    scale_y, scale_x = pixels.shape[0] / window.full[0], pixels.shape[1] / window.full[1]
    right, bottom = min((left + width) * scale_x, pixels.shape[1]), min((top + height) * scale_y, pixels.shape[0])
    box = (left * scale_x, top * scale_y, right, bottom)
    return np.asarray(Image.fromarray(pixels).resize((width, height), _PIL[interpolation], box=box))


def pad_to(
    pixels: np.ndarray, size: tuple[int, int], fill: tuple[int, ...], interpolation: str, *, by_torch: bool
) -> np.ndarray:
    """Fit the whole image into `size` and fill the rest with one colour."""
    height, width = pixels.shape[:2]
    scale = min(size[0] / height, size[1] / width)
    inner = (min(max(round(height * scale), 1), size[0]), min(max(round(width * scale), 1), size[1]))
    out = np.empty((*size, 3), dtype=np.uint8)
    out[:] = np.asarray(fill, dtype=np.uint8)
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    out[top : top + inner[0], left : left + inner[1]] = resize(pixels, inner, interpolation, by_torch=by_torch)
    return out


def _writable(pixels: np.ndarray) -> np.ndarray:
    """torch warns about read-only memory (Pillow's); a copy costs less than the resize."""
    return pixels if pixels.flags.writeable else pixels.copy()
