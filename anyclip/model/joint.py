"""Towers and projections of every stream, as one module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anyclip.errors import UserError, did_you_mean
from anyclip.model.freezing import eval_frozen
from anyclip.model.sharing import share_state
from anyclip.processors import Processor, Vectors
from anyclip.processors.base import to_dtype
from anyclip.projections import module_dtype
from anyclip.towers import Encoding, Tower


class JointModel(nn.Module):
    """Every stream's tower and projection.

    towers: by the stream that owns them, in dependency order. projections: by the stream that owns them.
    tower_of, projection_of: stream -> owner. Streams `name#k` (a second view, crop or caption) resolve to `name`.
    Frozen parts stay in eval mode and a wholly frozen tower runs without grad. Parameters that several streams
    share appear once in `parameters()` and in the state dict, under the owner's name.
    """

    def __init__(
        self,
        dim: int,
        towers: Mapping[str, Tower],
        projections: Mapping[str, nn.Module],
        *,
        tower_of: Mapping[str, str] | None = None,
        projection_of: Mapping[str, str] | None = None,
    ):
        super().__init__()
        self.dim = dim
        self.towers = nn.ModuleDict(dict(towers))
        self.projections = nn.ModuleDict(dict(projections))
        self.tower_of = dict(tower_of or {name: name for name in towers})
        self.projection_of = dict(projection_of or {name: name for name in self.tower_of})
        self.cached: set[str] = set()  # owners of towers whose vectors the training data brings
        share_state(self)

    @property
    def streams(self) -> list[str]:
        return list(self.tower_of)

    def resolve(self, stream: str) -> str:
        """The configured stream behind a name: `image#1` -> `image`. Raises UserError for an unknown one."""
        name = stream if stream in self.tower_of else stream.partition("#")[0]
        if name not in self.tower_of:
            raise UserError(
                f"the model has no stream {stream!r}.", hint=did_you_mean(name, self.streams, noun="Streams")
            )
        return name

    def tower(self, stream: str) -> Tower:
        return self.towers[self.tower_of[self.resolve(stream)]]  # type: ignore[return-value]

    def projection(self, stream: str) -> nn.Module:
        return self.projections[self.projection_of[self.resolve(stream)]]

    def processor(self, stream: str) -> Processor:
        return self.tower(stream).processor

    def modality(self, stream: str) -> str:
        return self.tower(stream).modality

    def trainable(self, stream: str) -> bool:
        """Whether any parameter of the stream's tower learns."""
        return any(p.requires_grad for p in self.tower(stream).parameters())

    def encode(self, stream: str, inputs: Any, **kw: Any) -> Encoding:
        """Collated inputs of at least one row -> the tower's `Encoding`; `kw` as in `Tower.forward`.

        Inputs that are `Vectors` are the encoding: the tower is not run.
        """
        if isinstance(inputs, Vectors):
            return Encoding(pooled=inputs.pooled)
        tower = self.tower(stream)
        dtype = module_dtype(tower)
        if dtype is not None:
            inputs = to_dtype(inputs, dtype)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.trainable(stream)):
            return tower(inputs, **kw)

    def features(self, stream: str, encoding: Encoding) -> Tensor:
        """Projected, raw vectors [B, E]."""
        projection = self.projection(stream)
        dtype = module_dtype(projection)
        pooled = encoding.pooled
        return projection(
            pooled if dtype is None or torch.is_autocast_enabled(pooled.device.type) else pooled.to(dtype)
        )

    def project_tokens(self, stream: str, encoding: Encoding) -> Encoding:
        """The encoding with its tokens mapped by the stream's own projection, [B, T, E]."""
        if encoding.tokens is None:
            return encoding
        return replace(encoding, tokens=self.features(stream, replace(encoding, pooled=encoding.tokens)))

    def embed(self, stream: str, inputs: Any) -> Tensor:
        """Unit-length embeddings [B, E], at least float32."""
        features = self.features(stream, self.encode(stream, inputs))
        return F.normalize(features if features.dtype == torch.float64 else features.float(), dim=-1)

    def train(self, mode: bool = True) -> JointModel:
        super().train(mode)
        if mode:
            eval_frozen(self)
        return self

    def save_assets(self, folder: Path) -> None:
        """Each tower's files (tokenizer, architecture) under `folder/<stream>/`."""
        for name, tower in self.towers.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            tower.save_assets(folder / name)  # type: ignore[operator]
