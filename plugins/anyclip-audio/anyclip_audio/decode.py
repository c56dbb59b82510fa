"""A value -> mono samples: channels averaged, everything checked, only the asked part read."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anyclip.errors import BadSample
from anyclip_audio.sources import SoundSource, open_sound

OVERDRIVEN = 2.0  # decoded mp3 and float files overshoot 1 by a little; this is another scale, or a fault

Plan = Callable[[int, int], Sequence[tuple[int, int]]]
"""(frames, rate) -> parts to read as (start, count), in samples."""


class SoundWarning(UserWarning):
    """A sound that is used though something about it is odd."""


@dataclass(frozen=True)
class Sound:
    """Mono samples float32 [T], nominally in -1..1, their rate in Hz and the file's name."""

    samples: np.ndarray
    rate: int
    name: str = "array"

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


def decode(value: Any, *, backend: str = "auto", seconds: float | None = None) -> Sound:
    """The whole sound of a value, or its first `seconds`. Raises BadSample(reason), see `open_sound` for values."""

    def plan(frames: int, rate: int) -> list[tuple[int, int]]:
        return [(0, frames if seconds is None else min(frames, max(1, round(seconds * rate))))]

    return read_parts(value, plan, backend=backend)[0][0]


def read_parts(value: Any, plan: Plan, *, backend: str = "auto") -> tuple[list[Sound], int]:
    """The parts that `plan` asks for, and the length of the whole in frames. Raises BadSample."""
    with open_sound(value, backend) as source:
        if source.frames <= 0:
            raise BadSample(f"{source.name}: has no samples")
        return [_read(source, start, count) for start, count in plan(source.frames, source.rate)], source.frames


def _read(source: SoundSource, start: int, count: int) -> Sound:
    samples = source.read(start, count)
    if not len(samples):
        raise BadSample(f"{source.name}: has no samples")
    mono = _mono(samples)
    peak = max(float(mono.max()), -float(mono.min()))
    if not np.isfinite(peak):
        raise BadSample(f"{source.name}: {int((~np.isfinite(samples)).sum())} samples are not finite")
    if peak > OVERDRIVEN:
        warnings.warn(
            f"{source.name}: overdriven: samples up to {peak:.3g}, nominally within -1..1", SoundWarning, stacklevel=4
        )
    return Sound(np.ascontiguousarray(mono, dtype=np.float32), source.rate, source.name)


def _mono(samples: np.ndarray) -> np.ndarray:
    """Mean of the channels, [T, C] -> [T]; channel by channel, which is 8 times faster than `mean(axis=1)`."""
    mono = samples[:, 0]
    if samples.shape[1] == 1:
        return mono
    for channel in samples.T[1:]:
        mono = mono + channel
    return mono * np.float32(1 / samples.shape[1])


def resample(samples: np.ndarray, rate: int, target: int) -> np.ndarray:
    """float32 [T] at another rate (soxr, its HQ quality: 0.1 dB to 91 % of the band, -125 dB beyond)."""
    if rate == target:
        return samples
    import soxr

    if len(samples) == 1:  # nothing to interpolate
        return np.repeat(samples, max(1, round(target / rate)))
    changed = soxr.resample(samples, rate, target, quality="HQ")
    return changed if len(changed) else samples[:1]
