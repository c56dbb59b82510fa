"""Training augmentation of waveforms and spectrograms; everything is drawn from the row's generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from anyclip_audio.options import AudioOptions


@dataclass(frozen=True)
class Augment:
    """The parts of an augmentation, see AudioOptions."""

    gain_db: float = 0.0
    polarity: float = 0.0
    noise_prob: float = 0.0
    speed: float = 0.0
    shift: float = 0.0
    mask_time: float = 0.0
    mask_bands: float = 0.0
    masks: int = 1

    @property
    def nothing(self) -> bool:
        """Whether it changes nothing."""
        parts = (self.gain_db, self.polarity, self.noise_prob, self.speed, self.shift, self.mask_time, self.mask_bands)
        return not any(parts)


PRESETS = {
    "none": Augment(),
    "light": Augment(gain_db=6.0, mask_time=0.1, mask_bands=0.1),
    "strong": Augment(gain_db=12.0, polarity=0.5, noise_prob=0.5, shift=0.2, mask_time=0.2, mask_bands=0.2, masks=2),
}


def augment_from(options: AudioOptions) -> Augment:
    """The preset with the fields that are given."""
    preset = PRESETS[options.augment]
    given = {name: getattr(options, name) for name in vars(preset)}
    return Augment(**{name: getattr(preset, name) if value is None else value for name, value in given.items()})


def played_rate(rate: int, rng: np.random.Generator, augment: Augment) -> int:
    """Hz at which a sound of `rate` is taken to be recorded: more is faster and higher (Ko et al. 2015)."""
    return max(1, round(rate * (1 + augment.speed * rng.uniform(-1, 1)))) if augment.speed else rate


def change_wave(wave: np.ndarray, rng: np.random.Generator, augment: Augment) -> np.ndarray:
    """Rotation, polarity, noise, gain, in this order; float32 [S] -> float32 [S]."""
    if augment.shift:
        wave = np.roll(wave, int(rng.integers(-1, 2) * rng.random() * augment.shift * len(wave)))
    if augment.polarity and rng.random() < augment.polarity:
        wave = -wave
    if augment.noise_prob and rng.random() < augment.noise_prob:
        level = float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) * 10 ** (-rng.uniform(5, 40) / 20)
        wave = wave + np.float32(level) * rng.standard_normal(len(wave), dtype=np.float32)
    if augment.gain_db:
        wave = wave * np.float32(10 ** (rng.uniform(-1, 1) * augment.gain_db / 20))
    return wave


def mask_spectrogram(x: Tensor, rng: np.random.Generator, augment: Augment) -> Tensor:
    """[..., T, M] with stretches of time and of bands set to its mean (SpecAugment, Park et al. 2019)."""
    if not augment.masks or not (augment.mask_time or augment.mask_bands):
        return x
    x, fill = x.clone(), float(x.mean())
    for axis, share in ((-2, augment.mask_time), (-1, augment.mask_bands)):
        size = x.shape[axis]
        for _ in range(augment.masks if share else 0):
            width = int(rng.integers(0, int(share * size) + 1))
            start = int(rng.integers(0, size - width + 1))
            x.narrow(axis, start, width).fill_(fill)
    return x
