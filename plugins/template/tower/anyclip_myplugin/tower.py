"""mymodality/mytower."""

from __future__ import annotations

from anyclip import Encoding, Tower
from torch import Tensor, nn

from anyclip_myplugin.options import MyTowerOptions
from anyclip_myplugin.processor import MyTowerProcessor


class MyTower(Tower):
    """Convolutions that halve the length, then the mean over it. Inputs: [B, size]."""

    def __init__(self, options: MyTowerOptions):
        super().__init__()
        self.width = options.width
        self.processor = MyTowerProcessor(options.size, options.noise)
        channels = [1] + [options.width] * options.depth
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv1d(a, b, kernel_size=9, stride=2, padding=4), nn.GELU())
            for a, b in zip(channels, channels[1:])
        )
        self.head = nn.Linear(options.width, options.width)

    def forward(self, inputs: Tensor) -> Encoding:
        x = inputs[:, None]
        for block in self.blocks:
            x = block(x)
        return Encoding(pooled=self.head(x.mean(dim=2)))

    def layer_groups(self) -> list[list[str]]:
        return [*([f"blocks.{i}"] for i in range(len(self.blocks))), ["head"]]
