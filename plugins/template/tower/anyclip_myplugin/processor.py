"""From a value of the modality to a series of fixed length."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from anyclip import BadSample, Processor
from anyclip.registry import get_registry
from anyclip.registry.registry import resolve
from torch import Tensor


class MyTowerProcessor(Processor):
    """Path, bytes or decoded value -> float32 [size], mean 0 and variance 1."""

    def __init__(self, size: int, noise: float):
        self.size, self.noise = size, noise

    def load(self, value: Any, *, rng: np.random.Generator | None = None) -> Tensor:
        series = numbers(resolve(get_registry().modality("mymodality").decode)(value))
        series = np.interp(np.linspace(0, len(series) - 1, self.size), np.arange(len(series)), series)
        series = (series - series.mean()) / (series.std() + 1e-6)
        if rng is not None and self.noise:
            series = series + self.noise * rng.standard_normal(self.size)
        return torch.from_numpy(series.astype(np.float32))

    def collate(self, samples: list[Tensor]) -> Tensor:
        return torch.stack(samples)

    def placeholder(self) -> Tensor:
        return torch.zeros(self.size)


def numbers(decoded: Any) -> np.ndarray:
    """Whatever the modality decodes to, as one series. Write here what your tower really needs."""
    if isinstance(decoded, tuple):  # (samples, rate)
        decoded = decoded[0]
    if isinstance(decoded, str):
        decoded = np.frombuffer(decoded.encode(), dtype=np.uint8)
    series = np.asarray(decoded, dtype=np.float64).ravel()
    if series.size == 0 or not np.isfinite(series).all():
        raise BadSample("holds no numbers, or some that are not finite")
    return series
