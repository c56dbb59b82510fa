"""From a recording to what the tower takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from anyclip import Processor
from anyclip_imu.options import PatchOptions
from anyclip_imu.recording import decode, resample
from anyclip_imu.synthetic import GRAVITY


class ImuProcessor(Processor):
    """Value -> float32 [T, 6] in g and rad/s; `collate` -> {"samples": [B, T, 6], "mask": [B, T]}."""

    def __init__(self, options: PatchOptions):
        self.rate, self.patch = options.rate, options.patch
        self.longest = int(options.seconds * options.rate)
        self.gain, self.noise = options.gain, options.noise

    def load(self, value: Any, *, rng: np.random.Generator | None = None) -> Tensor:
        samples = resample(*decode(value), self.rate)
        spare = max(0, len(samples) - self.longest)
        start = spare // 2 if rng is None else int(rng.integers(spare + 1))
        samples = samples[start : start + self.longest] / [GRAVITY, GRAVITY, GRAVITY, 1, 1, 1]
        if rng is not None:
            samples = samples * (1 + self.gain * rng.uniform(-1, 1, 6))
            samples = samples + self.noise * rng.standard_normal(samples.shape)
        return torch.from_numpy(samples.astype(np.float32))

    def collate(self, samples: list[Tensor]) -> dict[str, Tensor]:
        """Padded with zeros to the longest, and to whole patches."""
        padded = pad_sequence(samples, batch_first=True)
        padded = torch.nn.functional.pad(padded, (0, 0, 0, -padded.shape[1] % self.patch))
        lengths = torch.tensor([len(s) for s in samples])
        return {"samples": padded, "mask": torch.arange(padded.shape[1]) < lengths[:, None]}

    def placeholder(self) -> Tensor:
        return torch.zeros(self.patch, 6)
