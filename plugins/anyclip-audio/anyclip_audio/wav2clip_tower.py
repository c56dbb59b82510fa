"""`audio/wav2clip`: a ResNet-18 of torchvision on a linear log spectrogram (Wu et al., ICASSP 2022)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, ResNet

from anyclip_audio.audio_tower import AudioTower, Built
from anyclip_audio.front import Front, standardise
from anyclip_audio.options import Wav2clipOptions

_FRONT = Front(
    sample_rate=16_000,
    seconds=5.0,
    short="repeat",
    n_fft=512,
    win_length=512,
    hop=353,
    n_mels=0,
    log="ln",
    standardise=True,
)


class Wav2clipTower(AudioTower):
    """`pooled` is the ResNet's average, 512 wide; with `output: projected` it went through Wav2CLIP's MLP.

    Parameters: `model.encoder.<torchvision's name>`, `model.transform.sequential.{0,3}`.
    """

    library = "wav2clip"

    def __init__(self, built: Built, options: Wav2clipOptions):
        super().__init__(built, options)
        self.published_batch = options.published_batch

    @classmethod
    def build(cls, options: Wav2clipOptions, saved: dict[str, Any] | None, load_weights: bool) -> Built:
        front = _FRONT if saved is None else saved["front"]
        return Built(
            model=Wav2clip(options.layers, projected=options.output == "projected"),
            architecture={},
            front=replace(front, standardise=not options.published_batch),
            width=512,
            blocks=[f"encoder.layer{i}" for i in range(1, 5)],
            tail=("transform",),
        )

    def encode(self, x: Tensor, longer: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if self.published_batch:
            x = standardise(x.float(), whole=True).to(x.dtype)
        return self.model(x.transpose(2, 3))


class Wav2clip(nn.Module):
    """[B, 1, K, T] -> pooled [B, 512] and the positions of the last feature map [B, T', 512]."""

    def __init__(self, layers: list[int], *, projected: bool):
        super().__init__()
        self.encoder = ResNet(BasicBlock, layers)
        self.encoder.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(self.encoder.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.encoder.fc = nn.Identity()
        self.transform = _Transform() if projected else nn.Identity()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        net = self.encoder
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        x = net.layer4(net.layer3(net.layer2(net.layer1(x))))
        pooled = self.transform(net.avgpool(x).flatten(1))
        return pooled, self.transform(x.flatten(2).transpose(1, 2))


class _Transform(nn.Module):
    """Wav2CLIP's MLP; the name of its layers is that of the published checkpoint."""

    def __init__(self):
        super().__init__()
        self.sequential = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Dropout(0.1), nn.Linear(512, 512))

    def forward(self, x: Tensor) -> Tensor:
        return self.sequential(x)
