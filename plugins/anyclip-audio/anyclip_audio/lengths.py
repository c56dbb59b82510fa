"""Length policies: which part of a long sound is read, what fills a short one, the four views of feature fusion."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def windows(frames: int, size: int, long: str, most: int, rng: np.random.Generator | None) -> list[tuple[int, int]]:
    """Parts (start, count) of a sound of `frames` samples for windows of `size`; one random window with `rng`."""
    if frames <= size:
        return [(0, frames)]
    over = frames - size
    if rng is not None:
        return [(int(rng.integers(0, over + 1)), size)]
    if long == "start":
        return [(0, size)]
    if long == "active":  # `active_start` chooses, from the samples of all of it
        return [(0, frames)]
    if long == "tile":
        count = min(most, math.ceil(frames / size))
        if count > 1:
            return [(round(start), size) for start in np.linspace(0, over, count)]
    return [(over // 2, size)]


def active_start(wave: np.ndarray, size: int) -> int:
    """First sample of the window of a sound [T], T > size: the middle one unless it is quiet (AudioCLIP's evaluation).

    Quiet: less than half the deviation of the whole. Then the first window; where that is quiet too, but not quieter
    than the middle, the last.
    """
    last = len(wave) - size
    middle = round(last / 2)
    whole, center, first = (float(part.std(ddof=1, dtype=np.float64)) for part in (
        wave, wave[middle : middle + size], wave[:size]
    ))  # fmt: skip
    if center >= 0.5 * whole:
        return middle
    return last if 0.5 * whole > first > center else 0


def fit(wave: np.ndarray, size: int, short: str) -> np.ndarray:
    """float32 [T] -> [size]: cut at the end, or filled as `short` says (see AudioOptions.short)."""
    length = len(wave)
    if length >= size:
        return wave[:size]
    if short == "repeat":
        return np.tile(wave, math.ceil(size / length))[:size]
    if short == "edge":
        left = round((size - length) / 2)
        return np.pad(wave, (left, size - length - left), mode="edge")
    if short == "repeatpad":
        wave = np.tile(wave, size // length)
    return np.pad(wave, (0, size - len(wave)))


def quantise(wave: np.ndarray) -> np.ndarray:
    """To 16-bit steps and back: cut to -1..1, truncate towards zero (LAION-CLAP's int16 step)."""
    return (np.clip(wave, -1.0, 1.0) * np.float32(32767.0)).astype(np.int16).astype(np.float32) / np.float32(32767.0)


def fusion_starts(total: int, size: int, rng: np.random.Generator | None) -> tuple[int, int, int]:
    """First frames of the three windows: one of each third of the possible ones, random or the middle of the third."""
    parts = [part if len(part) else np.zeros(1, int) for part in np.array_split(np.arange(total - size + 1), 3)]
    picked = [part[len(part) // 2 if rng is None else int(rng.integers(len(part)))] for part in parts]
    return int(picked[0]), int(picked[1]), int(picked[2])


def fusion_views(mel: Tensor, size: int, starts: tuple[int, int, int], *, antialias: bool) -> Tensor:
    """[T, M] of a long sound -> [4, size, M]: the whole shrunk to `size` frames, then the windows at `starts`."""
    whole = F.interpolate(
        mel[None, None], size=(size, mel.shape[1]), mode="bilinear", align_corners=False, antialias=antialias
    )
    return torch.stack([whole[0, 0], *(mel[start : start + size] for start in starts)])
