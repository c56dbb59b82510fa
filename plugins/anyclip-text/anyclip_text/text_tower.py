"""What both text towers share: how they are built, and that ids and a mask go in."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from anyclip.errors import UserError
from anyclip.towers import Encoding, Tower
from anyclip_text.processor import TextProcessor


class TextTower(Tower):
    """An encoder in `model`, its tokenizer in `processor`. Inputs: `{"ids": [B, T], "mask": [B, T]}`."""

    processor: TextProcessor
    model: Any
    name: str

    def __init__(self, options: Any):
        self._start(options, None, load_weights=True)

    @classmethod
    def from_options(
        cls,
        options: Any,
        *,
        refs: Mapping[str, Tower] | None = None,
        assets: Path | None = None,
        load_weights: bool = True,
    ) -> TextTower:
        tower = cls.__new__(cls)
        tower._start(options, assets, load_weights=load_weights)
        return tower

    def _start(self, options: Any, assets: Path | None, *, load_weights: bool) -> None:
        nn.Module.__init__(self)
        self.modality = "text"
        self._build(options, assets, load_weights=load_weights)

    @abstractmethod
    def _build(self, options: Any, assets: Path | None, *, load_weights: bool) -> None:
        """Set `model`, `processor` and `width`; from the files in `assets` where a saved run has them."""

    @abstractmethod
    def _run(
        self,
        ids: Tensor,
        present: Tensor,
        dropped: Tensor | None,
        layers: Sequence[int],
        embeds: Tensor | None = None,
    ) -> Encoding:
        """ids, present and dropped [B, T]; embeds [B, T, W] stand for what the model would look up."""

    def forward(
        self, inputs: Mapping[str, Tensor], *, mask: Tensor | None = None, layers: Sequence[int] = ()
    ) -> Encoding:
        """inputs: ids and mask [B, T]; mask [B, T] True = drop the token; layers: blocks whose output is wanted."""
        return self._run(inputs["ids"], inputs["mask"], mask, layers)

    def _no_context(self, context: Encoding | None) -> None:
        if context is not None:
            raise UserError(f"{self.name} has no cross-attention; it takes no context.")
