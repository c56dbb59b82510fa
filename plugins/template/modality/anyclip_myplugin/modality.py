"""The modality itself: files and arrays to numbers, previews, synthetic scenes. No torch here."""

from __future__ import annotations

import hashlib
import io
import os
from typing import Any

import numpy as np
from anyclip import BadSample
from anyclip.readers import Blob
from anyclip.readers.scenes import CONTOURS, LOUDNESS, PITCHES, RHYTHMS


def decode(value: Any) -> np.ndarray:
    """A path, `Blob`, bytes or array -> float64 [T]. Raises BadSample with the reason."""
    if isinstance(value, np.ndarray):
        array = value
    else:
        data, name = _bytes(value)
        if not data.strip():
            raise BadSample(f"{name}: empty")
        try:
            if data[:6] == b"\x93NUMPY":
                array = np.load(io.BytesIO(data), allow_pickle=False)
            else:
                array = np.loadtxt(io.StringIO(data.decode()), delimiter=",", ndmin=1)
        except (ValueError, OSError, EOFError) as error:
            raise BadSample(f"{name}: neither .npy nor numbers as text: {error}") from None
    if array.ndim != 1 or array.size < 2 or array.dtype.kind not in "biuf":
        raise BadSample(f"a series has one axis and two numbers or more, this is {array.dtype} {list(array.shape)}")
    if not np.isfinite(array).all():
        raise BadSample("holds numbers that are not finite")
    return array.astype(np.float64)


def _bytes(value: Any) -> tuple[bytes, str]:
    if isinstance(value, Blob):
        return value.data, value.name
    if isinstance(value, bytes):
        return value, "bytes"
    if not isinstance(value, (str, os.PathLike)):
        raise BadSample(f"a series is a path, bytes or an array, not {type(value).__name__}")
    try:
        with open(value, "rb") as file:
            return file.read(), os.fspath(value)
    except OSError as error:
        raise BadSample(f"{os.fspath(value)}: {error.strerror}") from None


def content_key(value: Any) -> str:
    """Digest of the numbers."""
    return hashlib.blake2b(decode(value).tobytes(), digest_size=16).hexdigest()


def preview(value: Any) -> str:
    """A small drawing of the series, as SVG."""
    series = decode(value)
    series = series[:: max(1, len(series) // 200)]
    low, high = series.min(), max(series.max(), series.min() + 1e-9)
    points = " ".join(
        f"{200 * i / max(1, len(series) - 1):.1f},{48 - 46 * (y - low) / (high - low):.1f}" for i, y in enumerate(series)
    )
    return f'<svg width="200" height="50"><polyline points="{points}" fill="none" stroke="currentColor"/></svg>'


def render(scene: Any, rng: np.random.Generator, *, size: int = 256, noise: float = 0.05) -> np.ndarray:
    """A synthetic scene as a series [size]: pitch, loudness, contour and rhythm of the scene become a wave.

    Show whatever factors your modality can show (`anyclip.readers.scenes`); every one may be absent.
    """
    get = scene.factors.get
    cycles = PITCHES[get("pitch", "medium low")] / 40
    height = LOUDNESS[get("loudness", "moderate")]
    bend = CONTOURS[get("contour", "steady")]
    starts = RHYTHMS[get("rhythm", "once")]
    time = np.linspace(0, 1, size)
    onset = np.max([np.where(time >= s, s, 0.0) for s in starts], axis=0)
    wave = np.sin(2 * np.pi * cycles * time * bend**time) * np.exp(-3 * (time - onset))
    return height * wave + noise * height * rng.standard_normal(size)
