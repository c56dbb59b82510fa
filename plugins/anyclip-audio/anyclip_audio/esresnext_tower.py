"""`audio/esresnext`: AudioCLIP's ESResNeXt-FBSP on the waveform (Guzhov et al., ICASSP 2022)."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import Bottleneck, ResNet

from anyclip.errors import UserError
from anyclip_audio.audio_tower import AudioTower, Built
from anyclip_audio.fbsp import Fbsp, bands_in_decibels, blackman_harris, frames_of, norm_loss
from anyclip_audio.front import Front
from anyclip_audio.options import EsresnextOptions

_KERNELS = ((3, 1), (1, 5), (3, 1), (1, 5), (3, 5))
_CHANNELS = (64, 256, 512, 1024, 2048)


class EsresnextTower(AudioTower):
    """`pooled` is 2048 wide, or `dim` after its linear layer with `output: projected`.

    `terms["fbsp"]` is the loss that keeps the kernels' norms at 1. Parameters have AudioCLIP's names without `audio.`.
    """

    library = "esresnext"

    @classmethod
    def build(cls, options: EsresnextOptions, saved: dict[str, Any] | None, load_weights: bool) -> Built:
        front = Front(sample_rate=44_100, seconds=5.0, short="edge", n_fft=0) if saved is None else saved["front"]
        if options.points < options.frame:
            raise UserError(f"points: {options.points} are fewer than the {options.frame} of a frame.")
        projected = options.output == "projected"
        return Built(
            model=Esresnext(options, projected=projected),
            architecture={},
            front=front,
            width=options.dim if projected else _CHANNELS[-1],
            blocks=[f"layer{i}" for i in range(1, 5)],
            tail=("att5", "fc"),
        )

    def encode(self, x: Tensor, longer: Tensor | None) -> tuple[Tensor, Tensor | None]:
        pooled, self._norm_loss = self.model(x)
        return pooled, None

    def terms(self, rows: int) -> dict[str, Tensor]:
        return {"fbsp": self._norm_loss.expand(rows)}


class Esresnext(ResNet):
    """Waveforms [B, S] in -1..1 -> pooled [B, W] and the kernels' norm loss."""

    window: Tensor
    att5: nn.Module

    def __init__(self, options: EsresnextOptions, *, projected: bool):
        super().__init__(Bottleneck, options.layers, groups=32, width_per_group=4)
        self.step, self.points = options.step, options.points
        self.register_buffer("window", blackman_harris(options.frame))
        self.fbsp = Fbsp(options.points)
        self.fc = nn.Linear(_CHANNELS[-1], options.dim) if projected else nn.Identity()
        self.attends = options.attention
        sizes = [*itertools.pairwise(_CHANNELS), (_CHANNELS[-1], _CHANNELS[-1])]
        for i, ((before, after), kernel) in enumerate(zip(sizes, _KERNELS), start=1):
            if options.attention:
                setattr(self, f"att{i}", Attention2d(before, after, kernel))

    def image(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """[B, S] -> decibels [B, 3, K // 3, F] and the norm loss; in float32, whatever runs around it."""
        with torch.autocast(wave.device.type, enabled=False):
            wave = (wave.float() * 32768.0 + 32768.0) / 65535.0 * 2.0 - 1.0  # AudioCLIP's map from 16-bit steps
            kernels = self.fbsp.kernels()
            spectrum = self.fbsp(frames_of(wave, self.window.float(), self.step, self.points), kernels)
            return bands_in_decibels(spectrum), norm_loss(kernels)

    def forward(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        x, loss = self.image(wave)
        x = self.maxpool(self.relu(self.bn1(self.conv1(x.to(self.conv1.weight.dtype)))))
        for i in range(1, 5):
            y = getattr(self, f"layer{i}")(x)
            x = y * getattr(self, f"att{i}")(x, y.shape[-2:]) if self.attends else y
        pooled = self.avgpool(x)
        if self.attends:
            pooled = pooled * self.att5(x, (1, 1))
        return self.fc(pooled.flatten(1)), loss.to(pooled.dtype)


class Attention2d(nn.Module):
    """Weights 0..1 for a stage's output from its input: pooled to its size, depthwise and 1 x 1 convolution."""

    def __init__(self, before: int, after: int, kernel: tuple[int, int]):
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.conv_depth = nn.Conv2d(before, before, kernel, padding=padding, groups=before)
        self.conv_point = nn.Conv2d(before, after, 1)
        self.bn = nn.BatchNorm2d(after)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        x = F.adaptive_max_pool2d(x, size)
        return torch.sigmoid(self.bn(self.conv_point(self.conv_depth(x))))
