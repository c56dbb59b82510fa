"""What the audio towers share: spectrograms on the device, windows of long sounds, layers on request, assets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from anyclip.errors import UserError
from anyclip.towers import Encoding, Tower
from anyclip.towers.wrapping import grouped_by_block, mean_of_windows, read_assets, recorded, write_assets
from anyclip_audio.front import Front, log_spectrogram
from anyclip_audio.options import AudioOptions
from anyclip_audio.processor import AudioProcessor

_ASSET = "audio_tower.json"


@dataclass
class Built:
    """A model and what the tower has to know about it.

    architecture: JSON from which the same modules are built again without hub or weight folder. width: of `pooled`.
    blocks: names of its layers from input to output; parameters that belong to none count as the beginning, those of
    `tail` modules as the end.
    """

    model: nn.Module
    architecture: dict[str, Any]
    front: Front
    width: int
    blocks: list[str] = field(default_factory=list)
    tail: tuple[str, ...] = ()


class AudioTower(Tower):
    """Base of the audio towers. Inputs as `AudioProcessor.collate` gives them."""

    modality = "audio"
    library: ClassVar[str]
    model: Any
    processor: AudioProcessor

    def __init__(self, built: Built, options: AudioOptions):
        super().__init__()
        self.model = built.model
        self.width = built.width
        self.processor = AudioProcessor(built.front, options)
        self.blocks, self._tail = built.blocks, built.tail
        self._architecture, self._declared = built.architecture, asdict(built.front)

    @classmethod
    def from_options(cls, options, *, refs=None, assets=None, load_weights=True):
        """Build from the options, or from the architecture that a run saved, without hub or weight files."""
        saved = read_assets(assets, _ASSET, cls.library, architecture=dict, front=Front.of)
        return cls(cls.build(options, saved, load_weights and saved is None), options)

    @classmethod
    def build(cls, options: Any, saved: dict[str, Any] | None, load_weights: bool) -> Built:
        """saved: what `save_assets` wrote, or None."""
        raise NotImplementedError

    def encode(self, x: Tensor, longer: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Windows [B, C, T, M] or [B, S] -> pooled [B, W] and tokens [B, T', W] or None; longer: bool [B]."""
        raise NotImplementedError

    def forward(self, inputs: Any, *, layers: Sequence[int] = ()) -> Encoding:
        """layers: blocks (0 first). `pooled` of several windows is the mean of theirs; such sounds have no tokens."""
        inputs = inputs if isinstance(inputs, dict) else {"x": inputs}
        x, present = inputs["x"], inputs.get("windows")
        if present is not None:
            if layers:
                raise UserError("layers of a sound in several windows are not defined.", hint="Use long: center.")
            x = x[present]
        if self.processor.front.n_fft and self.processor.in_model:
            x = log_spectrogram(x, self.processor.front)[:, None]
        x = x.to(next(self.model.parameters()).dtype)
        with recorded(self.model, self.blocks, layers, self.modality) as tapped:
            pooled, tokens = self.encode(x, inputs.get("longer"))
        found = {depth: self.as_tokens(tapped[depth]) for depth in layers}
        if present is not None:
            pooled, tokens = mean_of_windows(pooled, present), None
        real = None if tokens is None else torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return Encoding(pooled=pooled, tokens=tokens, mask=real, layers=found, terms=self.terms(len(pooled)))

    def terms(self, rows: int) -> dict[str, Tensor]:
        """Losses of the tower itself [B], of the forward pass that just ran."""
        return {}

    def as_tokens(self, x: Any) -> Tensor:
        """A block's output as [B, T, C]."""
        x = x[0] if isinstance(x, (tuple, list)) else x
        return x.flatten(2).transpose(1, 2) if x.ndim == 4 else x

    def layer_groups(self) -> list[list[str]]:
        """[everything before the first block], [block], ..., [norm and projection at the end]."""
        ends = "|".join(re.escape(f"model.{end}.") for end in self._tail) or "$^"
        return grouped_by_block(self, [f"model.{name}" for name in self.blocks], tail=ends, in_order=False)

    def save_assets(self, folder: Path) -> None:
        """One JSON file: the architecture and the input that the model declares."""
        saved = {"library": self.library, "architecture": self._architecture, "front": self._declared}
        write_assets(folder, _ASSET, saved)
