"""What transformers' audio models take: waveforms, Whisper's log-mel, or the filter banks of AST."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.feature_extraction_utils import FeatureExtractionMixin

from anyclip.errors import UserError
from anyclip_audio.front import Front
from anyclip_audio.speech_options import TransformersAudioOptions

WHISPER = ("whisper", "qwen2_audio_encoder")
AST = "audio-spectrogram-transformer"
# With the mask, and with masked statistics of the first convolution, padding changes nothing in these; others have
# convolutions between their layers that carry padding into the sound.
_IGNORE_PADDING = ("hubert", "wav2vec2", "wavlm", "unispeech", "unispeech-sat")
_EPS = 1.1920928955078125e-07


@dataclass(frozen=True)
class Input:
    """How a model hears.

    kind: `wave`: samples [S]; `whisper`: log-mel [frames, M]; `fbank`: Kaldi's filter banks [frames, M].
    normalize: waves are standardised, each by its own numbers. variable: waves keep their length, to be masked.
    kernels, strides: of a wave model's convolutions. frames: of the window. mean, std: of filter banks.
    """

    kind: Literal["wave", "whisper", "fbank"]
    normalize: bool = False
    variable: bool = False
    kernels: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    frames: int = 0
    mean: float = 0.0
    std: float = 0.5

    @staticmethod
    def of(values: dict[str, Any]) -> Input:
        """From the JSON of `asdict`."""
        return Input(**{**values, "kernels": tuple(values["kernels"]), "strides": tuple(values["strides"])})

    def tokens(self, samples: Any, depth: int | None = None) -> Any:
        """Frames that a wave model makes of so many samples (an int or a tensor), after `depth` convolutions."""
        for kernel, stride in zip(self.kernels[:depth], self.strides[:depth]):
            samples = (samples - kernel) // stride + 1
        return samples

    @property
    def stride(self) -> int:
        """Samples from one frame to the next."""
        return math.prod(self.strides)

    @property
    def least(self) -> int:
        """Samples of the shortest sound that gives a frame."""
        need = 1
        for kernel, stride in zip(reversed(self.kernels), reversed(self.strides)):
            need = (need - 1) * stride + kernel
        return need


def input_of(config: Any, options: TransformersAudioOptions) -> tuple[Input, Front]:
    """What the model takes by its configuration, the folder's preprocessor and the options. Raises UserError."""
    declared = _declared(options.model)
    rate = int(declared.get("sampling_rate", 16_000))
    if hasattr(config, "conv_kernel") and hasattr(config, "conv_stride"):
        return _wave(config, options, declared, rate)
    if options.variable:
        raise UserError(f"variable: {config.model_type} takes windows of one length.", hint="Leave variable out.")
    if options.normalize:
        raise UserError(f"normalize: {config.model_type} does not take waveforms.", hint="Leave normalize out.")
    if config.model_type in WHISPER:
        hop = int(declared.get("hop_length", 160))
        n_fft = int(declared.get("n_fft", 400))
        frames = 2 * config.max_source_positions
        front = Front(
            sample_rate=rate, seconds=frames * hop / rate, short="pad", n_fft=n_fft, win_length=n_fft, hop=hop,
            n_mels=config.num_mel_bins, fmin=0.0, fmax=8_000.0, log="db",
        )  # fmt: skip
        return Input("whisper", frames=frames), front
    if config.model_type == AST:
        return _ast(config, options, declared, rate)
    raise UserError(
        f"model: {config.model_type!r} is not an audio encoder that this tower knows.",
        hint=f"Types: those of waveforms, such as hubert, wav2vec2 and wavlm; {', '.join(WHISPER)}; {AST}.",
    )


def _wave(config: Any, options: TransformersAudioOptions, declared: dict[str, Any], rate: int) -> tuple[Input, Front]:
    if getattr(config, "add_adapter", False):
        raise UserError("model: add_adapter is not supported.", hint="Give config: {add_adapter: false}.")
    _refuse_spectrogram(config, options)
    if options.features == "model" or options.mask_bands:
        name = "features: model" if options.features == "model" else "mask_bands"
        raise UserError(f"{name}: {config.model_type} takes the waveform, there is no spectrogram.")
    ignores = config.model_type in _IGNORE_PADDING
    if options.variable and not ignores:
        raise UserError(
            f"variable: {config.model_type} carries padding into the sound.",
            hint=f"Leave variable out, or use one of {', '.join(_IGNORE_PADDING)}.",
        )
    normalize = options.normalize
    if normalize is None:
        normalize = bool(declared.get("do_normalize", True))
    variable = options.variable if options.variable is not None else ignores and options.short is None
    taken = Input(
        "wave", normalize=normalize, variable=variable, kernels=tuple(config.conv_kernel),
        strides=tuple(config.conv_stride),
    )  # fmt: skip
    return taken, Front(sample_rate=rate, seconds=15.0, short="pad", n_fft=0)


def _ast(config: Any, options: TransformersAudioOptions, declared: dict[str, Any], rate: int) -> tuple[Input, Front]:
    _refuse_spectrogram(config, options)
    if options.features == "model":
        raise UserError("features: the filter banks of AST are computed by the workers.", hint="Leave features out.")
    hop, size = rate // 100, rate // 40
    frames = config.max_length
    standard = bool(declared.get("do_normalize", True))
    taken = Input(
        "fbank",
        frames=frames,
        mean=float(declared.get("mean", -4.2677393)) if standard else 0.0,
        std=float(declared.get("std", 4.5689974)) if standard else 0.5,
    )
    front = Front(
        sample_rate=rate, seconds=((frames - 1) * hop + size) / rate, n_fft=512, win_length=size, hop=hop,
        n_mels=config.num_mel_bins, fmin=20.0, fmax=rate / 2, short="pad",
    )  # fmt: skip
    return taken, front


def _refuse_spectrogram(config: Any, options: TransformersAudioOptions) -> None:
    for name in ("n_fft", "hop", "fmin", "fmax", "mel_scale", "mel_norm", "mel_rate"):
        if getattr(options, name) is not None:
            raise UserError(f"{name}: {config.model_type} has no such setting.", hint=f"Leave {name} out.")


def _declared(model: str | dict[str, Any]) -> dict[str, Any]:
    if isinstance(model, dict):
        return {}
    try:
        return FeatureExtractionMixin.get_feature_extractor_dict(model)[0]
    except (OSError, ValueError):
        return {}  # a folder without one is usual for models saved after training


def whisper_scale(decibels: Tensor, *, whole: bool = False) -> Tensor:
    """[N, T + 1, M] of 10 log10 -> [N, T, M]: the last frame dropped, at most 8 below the maximum, (x + 4) / 4.

    The maximum is each clip's own, or with `whole` the batch's (Radford et al. 2022 take one clip at a time).
    """
    x = decibels[:, :-1] / 10
    top = x.amax() if whole else x.amax(dim=(1, 2), keepdim=True)
    return (x.maximum(top - 8.0) + 4.0) / 4.0


def filter_banks(wave: Tensor, front: Front) -> Tensor:
    """Kaldi's log filter banks of a waveform: [S] -> [T, M], whole frames only, T = (S - win_length) // hop + 1.

    Frames without their mean, pre-emphasis 0.97, symmetric Hann window, power spectrum.
    """
    size = front.win_length
    if len(wave) < size:
        wave = F.pad(wave, (0, size - len(wave)))
    frames = wave.unfold(0, size, front.hop)
    frames = frames - frames.mean(dim=1, keepdim=True)
    before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
    frames = (frames - 0.97 * before) * torch.hann_window(size, periodic=False)
    spectrum = torch.fft.rfft(F.pad(frames, (0, front.n_fft - size)))
    power = spectrum.real.square() + spectrum.imag.square()
    bands = _kaldi_bands(front.n_mels, front.n_fft, front.sample_rate, front.fmin, front.fmax)
    return (power[:, : bands.shape[0]] @ bands).clamp(min=_EPS).log()


@functools.lru_cache(maxsize=8)
def _kaldi_bands(n_mels: int, n_fft: int, rate: int, fmin: float, fmax: float) -> Tensor:
    """Triangles on the mel scale 1127 ln(1 + f / 700), straight in mel, [n_fft // 2, M]."""

    def mel(frequency: Tensor) -> Tensor:
        return 1127.0 * (1.0 + frequency / 700.0).log()

    low, high = mel(torch.tensor([fmin, fmax], dtype=torch.float64))
    step = (high - low) / (n_mels + 1)
    centres = low + step * torch.arange(1, n_mels + 1, dtype=torch.float64)
    bins = mel(torch.arange(n_fft // 2, dtype=torch.float64) * rate / n_fft)
    return (1 - (bins[:, None] - centres).abs() / step).clamp(min=0).float()
