"""The interface of a tower and what it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from anyclip.processors import Processor


@dataclass(frozen=True)
class Encoding:
    """What a tower returns. Axis 0 of every tensor is the rows.

    pooled [B, W]; tokens [B, T, W] with mask [B, T] (True = real); layers: asked depths, each [B, T, W];
    terms: per-row auxiliary losses of the tower [B]; extra: attention maps, view weights.
    """

    pooled: Tensor
    tokens: Tensor | None = None
    mask: Tensor | None = None
    layers: Mapping[int, Tensor] = field(default_factory=dict)
    terms: Mapping[str, Tensor] = field(default_factory=dict)
    extra: Mapping[str, Tensor] = field(default_factory=dict)

    def map(self, function) -> Encoding:
        """Apply `function` to every tensor."""
        changed: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Tensor):
                changed[f.name] = function(value)
            elif isinstance(value, Mapping):
                changed[f.name] = {k: function(v) for k, v in value.items()}
            else:
                changed[f.name] = value
        return Encoding(**changed)

    def __getitem__(self, rows) -> Encoding:
        """The encoding of some rows (a slice or an index tensor)."""
        return self.map(lambda x: x[rows])

    @staticmethod
    def cat(parts: Sequence[Encoding]) -> Encoding:
        """Rows one after the other; token axes are padded to the longest with zeros (mask False)."""
        if len(parts) == 1:
            return parts[0]

        def join(tensors: list[Tensor]) -> Tensor:
            if tensors[0].ndim > 1:
                longest = max(t.shape[1] for t in tensors)
                tensors = [_pad_axis1(t, longest) for t in tensors]
            return torch.cat(tensors)

        def join_maps(name: str) -> dict[Any, Tensor]:
            return {k: join([getattr(p, name)[k] for p in parts]) for k in getattr(parts[0], name)}

        return Encoding(
            pooled=torch.cat([p.pooled for p in parts]),
            tokens=None if parts[0].tokens is None else join([p.tokens for p in parts]),  # type: ignore[misc]
            mask=None if parts[0].mask is None else join([p.mask for p in parts]),  # type: ignore[misc]
            layers=join_maps("layers"),
            terms=join_maps("terms"),
            extra=join_maps("extra"),
        )


def _pad_axis1(x: Tensor, length: int) -> Tensor:
    if x.shape[1] == length:
        return x
    return torch.cat([x, x.new_zeros(x.shape[0], length - x.shape[1], *x.shape[2:])], dim=1)


# FSDP finds the tensors of a module's output through pytrees; without this it would not see those of an Encoding
pytree.register_pytree_node(
    Encoding,
    lambda encoding: ([getattr(encoding, f.name) for f in fields(encoding)], None),
    lambda values, _: Encoding(*values),
    serialized_type_name="anyclip.towers.Encoding",
)


class Tower(nn.Module):
    """An encoder of one modality with its processor.

    Subclasses set `modality`, `width` and `processor`, take one options dataclass, and return an `Encoding`. Rows are
    independent of each other in eval mode. A tower is never called with 0 rows.
    """

    modality: str
    width: int
    processor: Processor

    @classmethod
    def from_options(
        cls,
        options: Any,
        *,
        refs: Mapping[str, Tower] | None = None,
        assets: Path | None = None,
        load_weights: bool = True,
    ) -> Tower:
        """Build from an options dataclass.

        refs: towers for options that are a `TowerRef`, by stream name. assets: folder of files saved by
        `save_assets`, when a run or model folder is opened. load_weights: False when a checkpoint follows.
        Towers that need none of these only write `__init__(self, options)`.
        """
        return cls(options) if options is not None else cls()

    def forward(self, inputs: Any, *, mask: Tensor | None = None, layers: Sequence[int] = ()) -> Encoding:
        """inputs: as `processor.collate` gives them; mask [B, T]: True = drop the token; layers: depths to return."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def forward_embeds(self, embeds: Tensor, mask: Tensor, *, context: Encoding | None = None) -> Encoding:
        """Optional: token embeddings [B, T, W] instead of ids (mask [B, T], True = real)."""
        raise NotImplementedError(f"{type(self).__name__} takes no input embeddings")

    def token_table(self) -> Tensor:
        """Optional: the vocabulary's embeddings [V, W]."""
        raise NotImplementedError(f"{type(self).__name__} has no token table")

    def layer_groups(self) -> list[list[str]]:
        """Parameter-name prefixes from the input to the output, one list per depth: layer-wise decay, FSDP wrapping.

        [] means the tower is one group.
        """
        return []

    def save_assets(self, folder: Path) -> None:
        """Write the files (tokenizer, architecture) that `from_options(assets=folder)` needs to rebuild it."""
