"""What a model declares about its input, and the spectrogram that follows from it: one function for every tower."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anyclip_audio.options import AudioOptions

_DB_FLOOR = 1e-10


@dataclass(frozen=True)
class Front:
    """A model's input.

    sample_rate: Hz. seconds: of its window. short: what fills a shorter sound. quantise: 16-bit steps.
    n_fft, win_length, hop: of the STFT in samples, Hann window, centred with reflection; n_fft 0: the model takes the
    waveform. n_mels 0: linear bins. mel_rate: Hz that the bands are made for, where it is not the sample rate (MS-CLAP
    2023 hears 44.1 kHz through bands for 32 kHz). mel_norm: `slaney` makes every band's area 1. log: `db`: 10 log10
    above 1e-10; `ln`: ln(x + 1e-7); `whisper`: log10, at most 8 below the clip's maximum, then (x + 4) / 4.
    standardise: zero mean and unit deviation over the clip. fusion: four views of the whole sound. antialias: of
    fusion's shrunk view.
    """

    sample_rate: int = 48_000
    seconds: float = 10.0
    short: str = "repeatpad"
    quantise: bool = False
    n_fft: int = 1024
    win_length: int = 1024
    hop: int = 480
    n_mels: int = 64
    fmin: float = 50.0
    fmax: float = 14_000.0
    mel_scale: str = "slaney"
    mel_norm: str = "slaney"
    mel_rate: int = 0
    log: str = "db"
    standardise: bool = False
    fusion: bool = False
    antialias: bool = False

    @property
    def samples(self) -> int:
        """Samples of the window."""
        return max(1, round(self.seconds * self.sample_rate))

    @property
    def frames(self) -> int:
        """Frames of the window's spectrogram."""
        return self.samples // self.hop + 1

    @staticmethod
    def of(declared: dict[str, Any]) -> Front:
        """From the JSON of `asdict`."""
        return Front(**declared)

    def with_options(self, options: AudioOptions) -> Front:
        """What the options change; n_fft changes the window's length in proportion."""
        names = {f.name for f in fields(Front)}
        given = {name: value for name, value in vars(options).items() if name in names and value is not None}
        if "n_fft" in given and self.n_fft:
            given["win_length"] = round(self.win_length * given["n_fft"] / self.n_fft)
        front = replace(self, **given)
        return replace(front, fmax=min(front.fmax, (front.mel_rate or front.sample_rate) / 2))


def log_spectrogram(wave: Tensor, front: Front) -> Tensor:
    """Waveforms [..., S] -> [..., T, M] float32, T = S // hop + 1."""
    shape = wave.shape[:-1]
    flat = wave.reshape(-1, wave.shape[-1]).float()
    window = _window(front.win_length, flat.device)
    spectrum = torch.stft(
        flat, front.n_fft, front.hop, front.win_length, window, center=True, pad_mode="reflect", return_complex=True
    )
    power = spectrum.real.square() + spectrum.imag.square()  # [N, K, T]
    if front.n_mels:
        rate = front.mel_rate or front.sample_rate
        bands = _mel_on(front.n_mels, front.n_fft, rate, front.fmin, front.fmax, front.mel_scale,
                        front.mel_norm, flat.device)  # fmt: skip
        power = bands @ power
    found = _logarithm(power.transpose(1, 2), front.log)
    if front.standardise:
        found = standardise(found)
    return found.reshape(*shape, *found.shape[1:])


def _logarithm(power: Tensor, kind: str) -> Tensor:
    """[N, T, M] power -> the model's log scale; a clip's own maximum where one is needed."""
    if kind == "ln":
        return (power + 1e-7).log()
    if kind == "whisper":
        found = power.clamp(min=_DB_FLOOR).log10()
        top = found.amax(dim=(1, 2), keepdim=True)
        return (found.maximum(top - 8.0) + 4.0) / 4.0
    return power.clamp(min=_DB_FLOOR).log10() * 10.0


def standardise(x: Tensor, *, whole: bool = False) -> Tensor:
    """(x - mean) / (unbiased deviation + 1e-9) of each clip, or of the whole batch as Wav2CLIP's code has it."""
    dims = tuple(range(0 if whole else 1, x.ndim))
    return (x - x.mean(dim=dims, keepdim=True)) / (x.std(dim=dims, keepdim=True) + 1e-9)


@functools.lru_cache(maxsize=16)
def _window(length: int, device: torch.device) -> Tensor:
    return torch.hann_window(length, periodic=True, device=device)


@functools.lru_cache(maxsize=16)
def _mel_on(
    n_mels: int, n_fft: int, rate: int, fmin: float, fmax: float, scale: str, norm: str, device: torch.device
) -> Tensor:
    return torch.from_numpy(mel_filters(n_mels, n_fft, rate, fmin, fmax, scale, norm)).to(device)


def mel_filters(
    n_mels: int, n_fft: int, rate: int, fmin: float, fmax: float, scale: str = "slaney", norm: str = "slaney"
) -> np.ndarray:
    """Triangular bands, float32 [n_mels, n_fft // 2 + 1].

    scale `htk`: 2595 log10(1 + f / 700); `slaney` (Auditory Toolbox): linear to 1 kHz, then logarithmic.
    norm `slaney`: every band has area 1; `none`: peak 1.
    """
    to_mel, to_hz = (_htk, _htk_hz) if scale == "htk" else (_slaney, _slaney_hz)
    edges = to_hz(np.linspace(to_mel(np.float64(fmin)), to_mel(np.float64(fmax)), n_mels + 2))
    bins = np.linspace(0.0, rate / 2, n_fft // 2 + 1)
    slopes = edges[:, None] - bins[None, :]
    widths = np.diff(edges)
    rising, falling = -slopes[:-2] / widths[:-1, None], slopes[2:] / widths[1:, None]
    bands = np.maximum(0.0, np.minimum(rising, falling))
    if norm == "slaney":
        bands *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return bands.astype(np.float32)


def _htk(hz: Any) -> Any:
    return 2595.0 * np.log10(1.0 + hz / 700.0)


def _htk_hz(mel: Any) -> Any:
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


_STEP = math.log(6.4) / 27.0


def _slaney(hz: Any) -> Any:
    return np.where(hz < 1000.0, hz * 3.0 / 200.0, 15.0 + np.log(np.maximum(hz, 1e-9) / 1000.0) / _STEP)


def _slaney_hz(mel: Any) -> Any:
    return np.where(mel < 15.0, mel * 200.0 / 3.0, 1000.0 * np.exp(_STEP * (mel - 15.0)))
