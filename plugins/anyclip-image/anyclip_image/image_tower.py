"""What the image towers share: token dropping, layers on request, layer groups, assets.

Each subclass wraps a library's model, whole and unchanged, under the attribute `model`: its parameters are
`model.<library name>`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from anyclip.errors import UserError
from anyclip.towers import Encoding, Tower
from anyclip.towers.wrapping import grouped_by_block, read_assets, recorded, write_assets
from anyclip_image.options import ImageOptions
from anyclip_image.processor import ImageProcessor, Preprocess
from anyclip_image.tokens import KeepTokens, PatchDrop, to_tokens

_ASSET = "image_tower.json"


@dataclass
class Built:
    """A wrapped model and what the tower has to know about it.

    architecture: JSON from which the same modules are built again without hub or weight folder. width: of `pooled`.
    blocks: names of the layers from input to output. tail: regular expression of the parameters that belong behind the
    last block, though they are registered before it.
    prefix: tokens (class, registers) before the patch tokens. site: module whose output are all tokens with their
    positions; tokens can be dropped there. site_input: drop from the module's input instead (a library's dropper).
    channels_last: feature maps are [B, H, W, C].
    """

    model: nn.Module
    architecture: dict[str, Any]
    preprocess: Preprocess
    width: int
    blocks: list[str] = field(default_factory=list)
    tail: str = r"$^"
    prefix: int = 0
    site: str | None = None
    site_input: bool = False
    channels_last: bool = False


class ImageTower(Tower):
    """Base of the image towers. Inputs are {"pixels": float [B, 3, H, W]} or that tensor."""

    modality = "image"
    library: ClassVar[str]
    model: Any  # a library's module
    processor: ImageProcessor

    def __init__(self, built: Built, options: ImageOptions):
        super().__init__()
        self.model = built.model
        self.width = built.width
        self.processor = ImageProcessor(built.preprocess, options)
        self.built = {name: getattr(built, name) for name in ("prefix", "site", "site_input", "channels_last")}
        self.blocks, self._tail = built.blocks, built.tail
        self._architecture, self._declared = built.architecture, asdict(built.preprocess)
        self._patch_drop: PatchDrop | None = None

    @classmethod
    def from_options(cls, options, *, refs=None, assets=None, load_weights=True):
        """Build from the options, or from the architecture that a run saved, without hub or weight files."""
        saved = read_assets(assets, _ASSET, cls.library, architecture=dict, preprocess=Preprocess.of)
        return cls(cls.build(options, saved, load_weights and saved is None), options)

    @classmethod
    def build(cls, options: Any, saved: dict[str, Any] | None, load_weights: bool) -> Built:
        """saved: what `save_assets` wrote, or None."""
        raise NotImplementedError

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
        """Pixels [B, 3, H, W] -> pooled [B, W] and patch tokens [B, T, W'] or None."""
        raise NotImplementedError

    def forward(self, inputs: Any, *, mask: Tensor | None = None, layers: Sequence[int] = ()) -> Encoding:
        """mask [B, T] over patch tokens, True = drop, the same count in each row; layers: blocks (0 first).

        `tokens` are the patch tokens (or positions of the feature map) without class tokens; where their width is not
        that of `pooled` they come as `extra["feature_map"]` instead. `layers` hold the blocks' raw outputs.
        """
        pixels = inputs["pixels"] if isinstance(inputs, dict) else inputs
        pixels = pixels.to(next(self.model.parameters()).dtype)
        with self._dropping(mask), recorded(self.model, self.blocks, layers, self.modality) as tapped:
            pooled, tokens = self.encode(pixels)
        found = {depth: self.as_tokens(tapped[depth]) for depth in layers}
        if tokens is None or tokens.shape[-1] != pooled.shape[-1]:
            extra = {} if tokens is None else {"feature_map": tokens}
            return Encoding(pooled=pooled, layers=found, extra=extra)
        present = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return Encoding(pooled=pooled, tokens=tokens, mask=present, layers=found)

    def as_tokens(self, x: Any) -> Tensor:
        """A block's output as [B, T, C] without prefix tokens."""
        return to_tokens(x, prefix=self.built["prefix"], channels_last=self.built["channels_last"])

    @contextlib.contextmanager
    def _dropping(self, mask: Tensor | None) -> Iterator[None]:
        if mask is None:
            yield
            return
        if self.built["site"] is None:
            raise UserError(
                f"image/{self.library} cannot drop tokens of this model.",
                hint="Use a plain vision transformer, whose position table is added before the first block.",
            )
        keep = KeepTokens(mask, self.built["prefix"], from_input=self.built["site_input"])
        handle = self.model.get_submodule(self.built["site"]).register_forward_hook(keep)
        pause = self._patch_drop.paused() if self._patch_drop else contextlib.nullcontext()
        try:
            with pause:
                yield
        finally:
            handle.remove()

    def add_patch_dropout(self, rate: float) -> None:
        """Random token dropping in training, for libraries without their own. Raises UserError where it cannot work."""
        if not rate:
            return
        if self.built["site"] is None:
            raise no_patch_dropout(self.library)
        self._patch_drop = PatchDrop(rate, self.built["prefix"])
        self.model.get_submodule(self.built["site"]).register_forward_hook(self._patch_drop)

    def layer_groups(self) -> list[list[str]]:
        """[everything before the first block], [block], ..., [norm, pooling and projection at the end]."""
        return grouped_by_block(self, [f"model.{name}" for name in self.blocks], tail=rf"model\.({self._tail})")

    def save_assets(self, folder: Path) -> None:
        """One JSON file: the architecture and the preprocessing that the model declares."""
        saved = {"library": self.library, "architecture": self._architecture, "preprocess": self._declared}
        write_assets(folder, _ASSET, saved)


def no_patch_dropout(library: str) -> UserError:
    return UserError(
        f"patch_dropout: this model of image/{library} has no patch tokens that could be dropped.",
        hint="Use a plain vision transformer, or leave patch_dropout at 0.",
    )
