"""What the towers on points share: channels, layers on request, layer groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from anyclip.towers import Encoding, Tower
from anyclip.towers.wrapping import grouped_by_block, recorded
from anyclip_pointcloud.options import PointOptions
from anyclip_pointcloud.processor import PointProcessor


class PointTower(Tower):
    """Base of the towers whose network sees the points themselves. Inputs as `PointProcessor.collate` gives them.

    The options say everything, so that no assets are saved. Parameters: `model.<published name>`.
    """

    modality = "pointcloud"
    processor: PointProcessor

    def __init__(
        self,
        model: nn.Module,
        options: PointOptions,
        *,
        width: int,
        blocks: Sequence[str],
        tail: Sequence[str] = (),
    ):
        """blocks: names of the model's layers from input to output, whose outputs `layers` gives; parameters of none
        count as the beginning, those that begin with a name of `tail` as the end."""
        super().__init__()
        self.model: Any = model
        self.width, self.processor = width, PointProcessor(options)
        self.blocks, self._tail = list(blocks), tuple(tail)

    @staticmethod
    def extra_channels(options: PointOptions) -> int:
        """Channels beside the coordinates."""
        return 3 * (options.colors + options.normals)

    def encode(self, points: Tensor, extra: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """points [B, N, 3], extra [B, N, F] or None -> pooled [B, W] and tokens [B, T, W] or None."""
        raise NotImplementedError

    def forward(self, inputs: Any, *, layers: Sequence[int] = ()) -> Encoding:
        """inputs: points [B, N, 3], with `colors` and `normals` where the options ask. layers: blocks (0 first)."""
        inputs = inputs if isinstance(inputs, dict) else {"points": inputs}
        extra = [inputs[name] for name in ("colors", "normals") if name in inputs]
        with recorded(self.model, self.blocks, layers, self.modality) as tapped:
            pooled, tokens = self.encode(inputs["points"], torch.cat(extra, dim=-1) if extra else None)
        real = None if tokens is None else torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        found = {depth: self.as_tokens(tapped[depth]) for depth in layers}
        return Encoding(pooled=pooled, tokens=tokens, mask=real, layers=found)

    def as_tokens(self, x: Any) -> Tensor:
        """A block's output as [B, T, C]."""
        return x[-1] if isinstance(x, tuple) else x

    def layer_groups(self) -> list[list[str]]:
        """[everything before the first block], [block], ..., [what comes behind]."""
        ends = "|".join(f"model.{end}" for end in self._tail) or "$^"
        return grouped_by_block(self, [f"model.{name}" for name in self.blocks], tail=ends, in_order=False)
