"""The processor of every audio tower: decode the needed part, mono, resample, fit the length, spectrogram."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anyclip.processors import Processor
from anyclip_audio.augment import Augment, augment_from, change_wave, mask_spectrogram, played_rate
from anyclip_audio.decode import read_parts, resample
from anyclip_audio.front import Front, log_spectrogram
from anyclip_audio.lengths import active_start, fit, fusion_starts, fusion_views, quantise, windows
from anyclip_audio.options import AudioOptions
from anyclip_audio.sources import require_backend

Sample = dict[str, Tensor]


class AudioProcessor(Processor):
    """Path, URL, bytes, (array, rate) -> {"x": windows [N, ...]}; one window but for `long: tile`.

    A window is a spectrogram [C, T, M], or its samples [S] where the model takes them or computes the spectrogram
    itself. C is 1, with feature fusion 4; then `longer` says which sounds are mixed.
    """

    def __init__(self, front: Front, options: AudioOptions):
        self.front = front.with_options(options)
        self.augment: Augment = augment_from(options)
        self.long, self.max_windows, self.train_crop = options.long, options.max_windows, options.train_crop
        self.backend = require_backend(options.backend)
        self.in_model = options.features == "model" or not self.front.n_fft

    @property
    def deterministic(self) -> bool:
        """Training samples are those of evaluation."""
        return self.train_crop == "same" and self.augment.nothing

    def load(self, value: Any, *, rng: np.random.Generator | None = None) -> Sample:
        """`rng` None: the deterministic windows of evaluation. Raises BadSample(reason)."""
        waves = self.waves(value, rng)
        if self.front.fusion:
            return self._fused(waves[0], rng)
        return {"x": torch.stack([self._window(wave, rng) for wave in waves])}

    def waves(self, value: Any, rng: np.random.Generator | None) -> list[np.ndarray]:
        """The needed windows of a sound, mono, at the model's rate, float32 [S] each; with feature fusion one part."""
        front = self.front
        crop = rng if self.train_crop == "random" and not front.fusion else None
        size = front.seconds * (self.max_windows if front.fusion else 1)
        long = "center" if front.fusion else self.long

        def plan(frames: int, rate: int) -> list[tuple[int, int]]:
            return windows(frames, math.ceil(size * rate), long, self.max_windows, crop)

        sounds, _ = read_parts(value, plan, backend=self.backend)
        rate = sounds[0].rate if rng is None else played_rate(sounds[0].rate, rng, self.augment)
        waves = [resample(sound.samples, rate, front.sample_rate) for sound in sounds]
        if long == "active" and crop is None and len(waves[0]) > front.samples:
            start = active_start(waves[0], front.samples)
            return [waves[0][start : start + front.samples]]
        return waves

    def _prepared(self, wave: np.ndarray, rng: np.random.Generator | None) -> Tensor:
        if rng is not None:
            wave = change_wave(wave, rng, self.augment)
        if self.front.quantise:
            wave = quantise(wave)
        return torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))

    def _window(self, wave: np.ndarray, rng: np.random.Generator | None) -> Tensor:
        samples = self._prepared(fit(wave, self.front.samples, self.front.short), rng)
        if self.in_model:
            return samples
        return self._masked(log_spectrogram(samples, self.front)[None], rng)

    def _masked(self, x: Tensor, rng: np.random.Generator | None) -> Tensor:
        return x if rng is None else mask_spectrogram(x, rng, self.augment)

    def _fused(self, wave: np.ndarray, rng: np.random.Generator | None) -> Sample:
        """Four views of the sound; of one that fits into the window four times the same."""
        front = self.front
        longer = len(wave) > front.samples
        if not longer:
            wave = fit(wave, front.samples, front.short)
        mel = log_spectrogram(self._prepared(wave, rng), front)
        longer = longer and len(mel) > front.frames
        if longer:
            crop = rng if self.train_crop == "random" else None
            starts = fusion_starts(len(mel), front.frames, crop)
            views = fusion_views(mel, front.frames, starts, antialias=front.antialias)
        else:
            views = mel[: front.frames].expand(4, -1, -1).clone()
        return {"x": self._masked(views, rng)[None], "longer": torch.tensor([longer])}

    def collate(self, samples: list[Sample]) -> Sample:
        """{"x": [B, ...]}; with several windows a sound {"x": [B, N, ...], "windows": bool [B, N]}."""
        most = max(len(sample["x"]) for sample in samples)
        batch = {name: torch.cat([s[name] for s in samples]) for name in samples[0]} if most == 1 else None
        if batch is not None:
            return batch
        x = samples[0]["x"].new_zeros(len(samples), most, *samples[0]["x"].shape[1:])
        present = torch.zeros(len(samples), most, dtype=torch.bool)
        for row, sample in enumerate(samples):
            x[row, : len(sample["x"])] = sample["x"]
            present[row, : len(sample["x"])] = True
        return {"x": x, "windows": present}

    def placeholder(self) -> Sample:
        silence = np.zeros(self.front.samples, np.float32)
        return self._fused(silence, None) if self.front.fusion else {"x": self._window(silence, None)[None]}
