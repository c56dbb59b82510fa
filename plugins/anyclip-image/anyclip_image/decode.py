"""A value (path, URL, bytes, array, PIL image, tensor) -> RGB pixels.

Rules: EXIF orientation is applied; transparency is laid over white; 16-bit grey is scaled to 8 bits, not clipped;
animations give their first frame; CMYK and palettes become RGB. What is broken or larger than the limit raises
BadSample with the file's name, before pixels are allocated.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from anyclip.errors import BadSample
from anyclip.readers import Blob

MAX_PIXELS = 2**26
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF", "ICO", "TGA", "PCX")
_ORIENTATION = 0x0112


def decode(
    value: Any, *, max_pixels: int = MAX_PIXELS, backend: str = "pil", draft: tuple[int, int] | None = None
) -> np.ndarray:
    """RGB pixels of a value, uint8 [H, W, 3]. Raises BadSample(reason).

    value: path, URL that fsspec opens, bytes, `Blob`, {"bytes": ..., "path": ...}, PIL image, array [H, W(, 1|2|3|4)]
        or tensor [1|3|4, H, W]; floats lie in 0..1. backend: `pil`, or `torchvision` to decode plain RGB JPEGs with
        torchvision, which gives the same pixels. draft: (height, width) that the image is for; a JPEG of more than
        eight times that is decoded at a smaller scale, never below four times.
    """
    if isinstance(value, Image.Image):
        _check_size(value.size, "image", max_pixels)
        return _guarded(lambda: _to_rgb(value), "image")
    data, name = read_bytes(value)
    if data is None:
        return _array_to_rgb(value, max_pixels)
    if not data:
        raise BadSample(f"{name}: the file is empty")
    return _guarded(lambda: _decode_bytes(data, name, max_pixels, backend, draft), name)


def read_bytes(value: Any) -> tuple[bytes | None, str]:
    """(bytes, name); bytes is None when the value already holds pixels."""
    if isinstance(value, Blob):
        return value.data, value.name
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value), "image bytes"
    if isinstance(value, Mapping):
        if value.get("bytes") is not None:
            return bytes(value["bytes"]), str(value.get("path") or "image bytes")
        value = value.get("path")
    if isinstance(value, (str, os.PathLike)):
        path = os.fspath(value)
        return _read_file(str(path)), str(path)
    return None, "array"


def _read_file(path: str) -> bytes:
    try:
        if "://" in path:
            import fsspec

            with fsspec.open(path, "rb") as file:
                return file.read()  # type: ignore[attr-defined]
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise BadSample(f"{path}: no such file") from None
    except (OSError, ValueError, ImportError) as error:
        raise BadSample(f"{path}: cannot be read: {error}") from error


def _guarded(function, name: str) -> np.ndarray:
    """Run a decoder; whatever it makes of damaged bytes becomes a BadSample that names the file."""
    try:
        return function()
    except UnidentifiedImageError:
        raise BadSample(f"{name}: not an image in a format that can be read") from None
    except (Image.DecompressionBombError, MemoryError) as error:
        reason = str(error).split(",")[0] or "out of memory"
        raise BadSample(f"{name}: refused: {reason}") from None
    except BadSample:
        raise
    # Pillow's format plugins and libjpeg raise a dozen kinds of errors on damaged files
    except Exception as error:
        raise BadSample(f"{name}: damaged image: {error}") from error


def _decode_bytes(data: bytes, name: str, max_pixels: int, backend: str, draft: tuple[int, int] | None) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # metadata oddities and Pillow's own, higher size limit
        image = Image.open(io.BytesIO(data), formats=_formats())
        _check_size(image.size, name, max_pixels)
        plain = image.format == "JPEG" and image.mode == "RGB" and image.getexif().get(_ORIENTATION, 1) == 1
        reduced = draft is not None and image.format == "JPEG" and _draft(image, draft)
        if plain and not reduced and backend == "torchvision":
            with contextlib.suppress(RuntimeError):  # damaged: Pillow gives the verdict and the reason
                return _decode_jpeg(data)
        return _to_rgb(image)


def _draft(image: Image.Image, size: tuple[int, int]) -> bool:
    """Ask libjpeg for the smallest of its scales that is still four times `size`; True when it is below full scale."""
    before = image.size
    image.draft("RGB", (4 * size[1], 4 * size[0]))
    return image.size != before


@functools.cache
def _formats() -> tuple[str, ...]:
    """Raster formats of this Pillow; others (EPS runs Ghostscript) are not opened."""
    Image.init()
    return tuple(f for f in _FORMATS if f in Image.OPEN)


def _check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise BadSample(f"{name}: {size[0]} x {size[1]} pixels is above the limit of {max_pixels} (option max_pixels)")
    if min(size) < 1:
        raise BadSample(f"{name}: the image has no pixels")


def _decode_jpeg(data: bytes) -> np.ndarray:
    import torch
    from torchvision.io import decode_jpeg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the buffer is only read
        chw = decode_jpeg(torch.frombuffer(data, dtype=torch.uint8))
    return chw.permute(1, 2, 0).numpy()


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Decode, turn upright, bring to RGB."""
    image.load()
    if image.getexif().get(_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        gray = _deep_gray(np.asarray(image))
        return np.repeat(gray[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, rgba)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _deep_gray(values: np.ndarray) -> np.ndarray:
    """Grey of more than 8 bits -> uint8: 16 bits / 257, floats 0..1 x 255, anything else stretched to its range."""
    if values.dtype == np.uint16:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if not np.isfinite(values).all():
        raise BadSample("holds values that are not finite")
    low, high = float(values.min()), float(values.max())
    if np.issubdtype(values.dtype, np.integer) and low >= 0 and high <= 65535:
        return ((values.astype(np.int64) + 128) // 257).astype(np.uint8)
    if low < 0 or high > 1:
        values = (values - low) / max(high - low, 1e-12)
    return np.round(np.asarray(values, dtype=np.float64) * 255).astype(np.uint8)


def _array_to_rgb(value: Any, max_pixels: int) -> np.ndarray:
    """numpy [H, W(, C)] or tensor [C, H, W] -> uint8 [H, W, 3]."""
    if hasattr(value, "detach"):  # a torch tensor, without importing torch for those who have none
        value = value.detach().cpu().numpy()
        value = np.moveaxis(value, 0, -1) if value.ndim == 3 else value
    if not isinstance(value, np.ndarray):
        raise BadSample(f"an image is a path, bytes, array or PIL image, not {type(value).__name__}")
    if value.ndim == 2:
        value = value[:, :, None]
    if value.ndim != 3 or value.shape[2] not in (1, 2, 3, 4) or 0 in value.shape:
        raise BadSample(f"an image array is [H, W], or [H, W, 1 to 4]; this has shape {value.shape}")
    _check_size((value.shape[1], value.shape[0]), "array", max_pixels)
    pixels = _to_uint8(value)
    if pixels.shape[2] in (2, 4):
        alpha = pixels[:, :, -1:].astype(np.uint32)
        colour = pixels[:, :, :-1].astype(np.uint32)
        pixels = ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def _to_uint8(value: np.ndarray) -> np.ndarray:
    if value.dtype == np.uint8:
        return value
    if value.dtype == np.bool_:
        return value.astype(np.uint8) * 255
    if value.dtype == np.uint16:
        return ((value.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if np.issubdtype(value.dtype, np.floating):
        if not np.isfinite(value).all():
            raise BadSample("the array holds values that are not finite")
        if value.min() < 0 or value.max() > 1:
            raise BadSample("float pixels lie in 0..1; give 0..255 as uint8")
        return np.round(value * 255).astype(np.uint8)
    if np.issubdtype(value.dtype, np.integer) and value.min() >= 0 and value.max() <= 255:
        return value.astype(np.uint8)
    raise BadSample(f"pixels are uint8, uint16, bool or floats in 0..1, not {value.dtype} beyond 0..255")
