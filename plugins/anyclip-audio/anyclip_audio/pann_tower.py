"""`audio/pann`: PANNs, convolutional networks on log-mel spectrograms (Kong et al., TASLP 2020, tables 1 and 2).

Parameter names are those of the published Cnn14, Cnn10 and Cnn6, without the class layer.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anyclip.errors import UserError
from anyclip_audio.audio_tower import AudioTower, Built
from anyclip_audio.front import Front
from anyclip_audio.options import PannOptions

_CHANNELS = {
    "cnn14": [64, 128, 256, 512, 1024, 2048],
    "cnn10": [64, 128, 256, 512],
    "cnn6": [64, 128, 256, 512],
}


class PannTower(AudioTower):
    """A PANN; `pooled` is its embedding (after `fc1`), `tokens` the frames before it, averaged over the bands."""

    library = "pann"

    @classmethod
    def build(cls, options: PannOptions, saved: dict[str, Any] | None, load_weights: bool) -> Built:
        front = Front(n_mels=options.n_mels) if saved is None else saved["front"]
        channels = options.channels or _CHANNELS[options.size]
        halvings = len(channels) - (options.size == "cnn14")
        chosen = front.with_options(options)
        for amount, what in ((chosen.n_mels, "n_mels"), (chosen.frames, "frames")):
            if amount >> halvings == 0:
                raise UserError(f"{amount} {what} are too few for {halvings} halvings.", hint="Use fewer channels.")
        model = Pann(channels, chosen.n_mels, options.size, options.dropout)
        blocks = [f"conv_block{i}" for i in range(1, len(channels) + 1)]
        return Built(model, {}, front, channels[-1], blocks, tail=("fc1",))

    def encode(self, x: Tensor, longer: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return self.model(x)


class Pann(nn.Module):
    """[B, 1, T, M] -> embedding [B, C] and frames [B, T', C]."""

    def __init__(self, channels: list[int], n_mels: int, size: str, dropout: float):
        super().__init__()
        self.dropout = dropout
        self.bn0 = nn.BatchNorm2d(n_mels)
        block = _Block5x5 if size == "cnn6" else _Block
        self.last_pool = 1 if size == "cnn14" else 2
        self.blocks = len(channels)
        for i, (before, after) in enumerate(zip([1, *channels], channels), start=1):
            setattr(self, f"conv_block{i}", block(before, after))
        self.fc1 = nn.Linear(channels[-1], channels[-1])
        nn.init.xavier_uniform_(self.fc1.weight)
        nn.init.zeros_(self.fc1.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.bn0(x.transpose(1, 3)).transpose(1, 3)
        for i in range(1, self.blocks + 1):
            x = getattr(self, f"conv_block{i}")(x, self.last_pool if i == self.blocks else 2)
            x = F.dropout(x, self.dropout, self.training)
        frames = x.mean(dim=3)  # [B, C, T']
        strong = min(0.5, 2.5 * self.dropout)
        pooled = F.dropout(frames.amax(dim=2) + frames.mean(dim=2), strong, self.training)
        pooled = F.dropout(F.relu(self.fc1(pooled)), strong, self.training)
        return pooled, frames.transpose(1, 2)


class _Block(nn.Module):
    """Two 3 x 3 convolutions with batch norm and ReLU, then average pooling."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.conv1 = _conv(before, after, 3)
        self.conv2 = _conv(after, after, 3)
        self.bn1, self.bn2 = nn.BatchNorm2d(after), nn.BatchNorm2d(after)

    def forward(self, x: Tensor, pool: int) -> Tensor:
        x = F.relu_(self.bn1(self.conv1(x)))
        x = F.relu_(self.bn2(self.conv2(x)))
        return F.avg_pool2d(x, pool) if pool > 1 else x


class _Block5x5(nn.Module):
    """A 5 x 5 convolution with batch norm and ReLU, then average pooling."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.conv1 = _conv(before, after, 5)
        self.bn1 = nn.BatchNorm2d(after)

    def forward(self, x: Tensor, pool: int) -> Tensor:
        x = F.relu_(self.bn1(self.conv1(x)))
        return F.avg_pool2d(x, pool) if pool > 1 else x


def _conv(before: int, after: int, kernel: int) -> nn.Conv2d:
    conv = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False)
    with torch.no_grad():
        nn.init.xavier_uniform_(conv.weight)
    return conv
