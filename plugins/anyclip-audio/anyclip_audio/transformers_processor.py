"""The processor of towers around transformers' audio models: variable length with a mask, log-mel, filter banks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from anyclip_audio.front import Front, log_spectrogram
from anyclip_audio.lengths import fit
from anyclip_audio.processor import AudioProcessor, Sample
from anyclip_audio.speech_options import TransformersAudioOptions
from anyclip_audio.transformers_input import Input, filter_banks, whisper_scale

_ROUNDING = 64  # samples that reading and resampling may be short of a whole window


class TransformersAudioProcessor(AudioProcessor):
    """Path, URL, bytes, (array, rate) -> one window, several with `long: tile`; an axis N in a sample, gone when 1.

    Waveforms: x [B, S], with `mask` bool [B, S] where sounds keep their length, and in training with `mask_time` also
    `drop` bool [B, T]: frames whose features are replaced. Whisper: x [B, 1, T, M] with `frames` int64 [B], how many
    of them are sound. AST: x [B, 1, T, M].
    """

    def __init__(self, taken: Input, front: Front, options: TransformersAudioOptions):
        super().__init__(front, options)
        self.taken, self.published_batch = taken, options.published_batch
        self.filled = options.short is not None
        self.in_model = taken.kind == "wave" or (taken.kind == "whisper" and self.in_model)

    def load(self, value: Any, *, rng: np.random.Generator | None = None) -> Sample:
        """`rng` None: the deterministic windows of evaluation. Raises BadSample(reason)."""
        waves = self.waves(value, rng)
        if self.taken.kind == "whisper":
            return self._whisper(waves, rng)
        if self.taken.kind == "fbank":
            return {"x": torch.stack([self._filter_banks(wave, rng) for wave in waves])}
        sample = {"x": torch.stack([self._wave(wave, rng) for wave in waves])}
        if rng is not None and self.augment.mask_time:
            frames = self.taken.tokens(sample["x"].shape[1])
            sample["drop"] = torch.stack([self._stretches(frames, rng) for _ in waves])
        return sample

    def _wave(self, wave: np.ndarray, rng: np.random.Generator | None) -> Tensor:
        """[S], standardised before anything is filled up, so that a sound alone decides how it is heard."""
        most = self.front.samples
        if not self.taken.variable or len(wave) > most - _ROUNDING:  # windows of one sound have one length
            real = min(len(wave), most)
            wave = fit(wave, most, self.front.short)
        else:
            wave = fit(wave, max(len(wave), self.taken.least), "pad")
            real = len(wave)
        x = self._prepared(wave, rng)
        if self.taken.normalize:
            heard = x[:real] if self.front.short == "pad" else x
            x = torch.cat([_standardised(heard), x[len(heard) :]])
        return x

    def _stretches(self, frames: int, rng: np.random.Generator) -> Tensor:
        """bool [T]: stretches of time to be replaced, as SpecAugment draws them."""
        drop = torch.zeros(frames, dtype=torch.bool)
        for _ in range(self.augment.masks):
            width = int(rng.integers(0, int(self.augment.mask_time * frames) + 1))
            start = int(rng.integers(0, frames - width + 1))
            drop[start : start + width] = True
        return drop

    def _filter_banks(self, wave: np.ndarray, rng: np.random.Generator | None) -> Tensor:
        """[1, T, M]; frames after the sound are 0 before they are standardised, as AST was trained."""
        front, taken = self.front, self.taken
        wave = fit(wave, front.samples, front.short) if self.filled else wave[: front.samples]
        x = filter_banks(self._prepared(wave, rng), front)[: taken.frames]
        x = (F.pad(x, (0, 0, 0, taken.frames - len(x))) - taken.mean) / (2 * taken.std)
        return self._masked(x[None], rng)

    def _whisper(self, waves: list[np.ndarray], rng: np.random.Generator | None) -> Sample:
        front, frames = self.front, self.taken.frames
        real = [len(wave) if not self.filled else front.samples for wave in waves]
        counts = torch.tensor([min(frames, max(1, -(-count // front.hop))) for count in real])
        x = torch.stack([self._prepared(fit(wave, front.samples, front.short), rng) for wave in waves])
        if not self.in_model:
            x = log_spectrogram(x, front)
            x = x if self.published_batch else whisper_scale(x)
            x = torch.stack([self._masked(window[None], rng) for window in x])
        return {"x": x, "frames": counts}

    def collate(self, samples: list[Sample]) -> Sample:
        """Rows on axis 0; with several windows a sound [B, N, ...] and `windows` bool [B, N]."""
        most = max(len(sample["x"]) for sample in samples)
        sizes = {name: max(s[name].shape[1] for s in samples) for name in samples[0] if samples[0][name].ndim > 1}
        batch = {
            name: value.new_zeros(len(samples), most, *((sizes[name], *value.shape[2:]) if name in sizes else ()))
            for name, value in samples[0].items()
        }
        present = torch.zeros(len(samples), most, dtype=torch.bool)
        if self.taken.variable:
            batch["mask"] = torch.zeros(batch["x"].shape, dtype=torch.bool)
        for row, sample in enumerate(samples):
            present[row, : len(sample["x"])] = True
            for name, value in sample.items():
                batch[name][(row, slice(len(value)), *([slice(value.shape[1])] if name in sizes else []))] = value
            if self.taken.variable:
                batch["mask"][row, : len(sample["x"]), : sample["x"].shape[1]] = True
        if most == 1:
            return {name: value[:, 0] for name, value in batch.items()}
        return {**batch, "windows": present}

    def placeholder(self) -> Sample:
        silence = np.zeros(self.taken.least if self.taken.variable else self.front.samples, np.float32)
        if self.taken.kind == "whisper":
            return self._whisper([silence], None)
        return {"x": (self._wave if self.taken.kind == "wave" else self._filter_banks)(silence, None)[None]}


def _standardised(x: Tensor) -> Tensor:
    """Zero mean and unit deviation, [S]; silence stays silence."""
    wide = x.double()
    return ((wide - wide.mean()) / (wide.var(correction=0) + 1e-7).sqrt()).float()
