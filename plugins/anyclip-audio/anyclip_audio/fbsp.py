"""The learnable spectrogram of AudioCLIP: frames times frequency B-spline wavelets, in decibels, as an image.

Guzhov et al., "ESResNe(X)t-fbsp: Learning Robust Time-Frequency Transformation of Audio", IJCNN 2021, section III.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Fbsp(nn.Module):
    """Frames [B, F, N] -> [B, F, N // 2 + 1, 2]: real and imaginary part. m, fb, fc: order, bandwidth and centre."""

    def __init__(self, points: int):
        super().__init__()
        bins = points // 2 + 1
        self.m, self.fb = nn.Parameter(torch.zeros(bins)), nn.Parameter(torch.ones(bins))
        self.fc = nn.Parameter(torch.arange(bins, dtype=torch.float32))
        self.points = points

    def time(self) -> Tensor:
        """[N]: -pi .. pi; not a buffer, which bfloat16 weights would round."""
        return math.pi * torch.linspace(-1.0, 1.0, self.points, device=self.fc.device) + 1e-8

    def kernels(self) -> Tensor:
        """[K, N, 2]: sqrt(fb) sinc(fb t / m)^m exp(-j fc t) / sqrt(N), with sinc(x) = sin(x) / x."""
        m, fb, fc = (x.float()[:, None] for x in (self.m, self.fb, self.fc))
        time = self.time()
        x = fb * time / (m + 1e-8)
        sinc = torch.where(x == 0, torch.ones_like(x), torch.sin(x) / x)
        size = torch.exp(m * torch.log(sinc.abs().clamp_min(1e-30)))
        turn = torch.where(sinc < 0, math.pi * m, torch.zeros_like(m))  # the principal branch of s^m
        # the complex product in this order: where a sound is constant only its rounding is left
        window, wave = (size * torch.cos(turn), size * torch.sin(turn)), (torch.cos(-fc * time), torch.sin(-fc * time))
        real, imaginary = window[0] * wave[0] - window[1] * wave[1], window[0] * wave[1] + window[1] * wave[0]
        return fb.sqrt()[..., None] * torch.stack([real, imaginary], dim=-1) / math.sqrt(len(time))

    def forward(self, frames: Tensor, kernels: Tensor) -> Tensor:
        bins = kernels.shape[0]
        found = frames @ kernels.permute(1, 0, 2).reshape(kernels.shape[1], 2 * bins)
        return found.unflatten(-1, (bins, 2))


def norm_loss(kernels: Tensor) -> Tensor:
    """Mean squared distance of the kernels' L2 norms from 1, a scalar (AudioCLIP's `loss_ttf`)."""
    norms = kernels.square().sum(dim=(1, 2)).sqrt()
    return F.mse_loss(norms, torch.ones_like(norms))


def frames_of(wave: Tensor, window: Tensor, step: int, points: int) -> Tensor:
    """[B, S] -> windowed frames [B, F, points]: zeros fill the last frame, half of them at each end."""
    length = len(window)
    count = 1 + max(0, math.ceil((wave.shape[-1] - length) / step))
    missing = max(0, length + (count - 1) * step - wave.shape[-1])
    wave = F.pad(wave, (missing // 2, missing - missing // 2))
    frames = wave.unfold(-1, length, step) * window
    left = (points - length) // 2
    return F.pad(frames, (left, points - length - left))


def blackman_harris(length: int) -> Tensor:
    """The periodic four-term window (Harris 1978, 92 dB)."""
    turn = 2 * math.pi * torch.arange(length, dtype=torch.float64) / length
    terms = (0.35875, -0.48829, 0.14128, -0.01168)
    return torch.stack([a * torch.cos(i * turn) for i, a in enumerate(terms)]).sum(0).float()


def bands_in_decibels(spectrum: Tensor) -> Tensor:
    """[B, F, K, 2] -> image [B, 3, K // 3, F]: low, middle and high bins as channels; the bins above are dropped."""
    power = spectrum.square().sum(-1)
    height = power.shape[-1] // 3
    power = power[..., : 3 * height].clamp_min(1e-18)
    image = (10.0 * torch.log10(power)).transpose(1, 2)
    return image.reshape(len(image), 3, height, -1)
