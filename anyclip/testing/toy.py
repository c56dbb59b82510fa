"""The toy modality: plain vectors. Scenes of the synthetic reader become fixed random features of their factors."""

from __future__ import annotations

import html
import zlib
from io import BytesIO
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from anyclip.errors import BadSample, UserError
from anyclip.processors import Processor
from anyclip.readers import Blob
from anyclip.testing.toy_options import ToyOptions
from anyclip.towers import Encoding, Tower


def render(scene: Any, rng: np.random.Generator, *, size: int = 16, seed: int = 0) -> np.ndarray:
    """Sum of one fixed random vector per factor value of the scene, float32 [size]."""
    vector = np.zeros(size, dtype=np.float32)
    for factor, value in sorted(scene.factors.items()):
        key = zlib.crc32(f"{seed}:{factor}={value}".encode())
        vector += np.random.Generator(np.random.Philox(key)).standard_normal(size).astype(np.float32)
    return vector


def decode(value: Any) -> np.ndarray:
    """An array, a sequence of numbers, `.npy` bytes or a path -> float32 [size]. Raises BadSample."""
    try:
        if isinstance(value, Blob):
            value = value.data
        if isinstance(value, bytes):
            value = np.load(BytesIO(value), allow_pickle=False)
        elif isinstance(value, str):
            value = np.load(value, allow_pickle=False)
        array = np.asarray(value, dtype=np.float32)
    except (OSError, ValueError, TypeError, EOFError) as error:
        raise BadSample(f"not a vector: {error}") from error
    if array.ndim != 1 or array.size == 0:
        raise BadSample(f"a vector has one axis and at least one value, this has shape {array.shape}")
    if not np.isfinite(array).all():
        raise BadSample("holds values that are not finite")
    return array


def preview(value: Any) -> str:
    return f"<code>{html.escape(np.array2string(decode(value)[:8], precision=2))}</code>"


class ToyProcessor(Processor):
    """Vectors of one length, with optional training noise."""

    def __init__(self, size: int, noise: float = 0.0):
        self.size, self.noise = size, noise

    @property
    def deterministic(self) -> bool:
        return not self.noise

    def load(self, value: Any, *, rng: np.random.Generator | None = None) -> Tensor:
        array = decode(value)
        if array.size != self.size:
            raise BadSample(f"has {array.size} values, the tower takes {self.size}")
        if rng is not None and self.noise:
            array = array + self.noise * rng.standard_normal(self.size).astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(array))

    def collate(self, samples: list[Tensor]) -> Tensor:
        return torch.stack(samples)

    def placeholder(self) -> Tensor:
        return torch.zeros(self.size)


class ToyTower(Tower):
    """An MLP with GELU; `tokens` are the hidden layers."""

    def __init__(self, options: ToyOptions):
        super().__init__()
        self.width = options.width
        self.processor = ToyProcessor(options.size, options.noise)
        widths = [options.size] + [options.width] * options.depth
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(a, b), nn.GELU(), nn.Dropout(options.dropout)) for a, b in pairwise(widths)
        )
        self.head = nn.Linear(options.width, options.width)

    def forward(self, inputs: Tensor, *, mask: Tensor | None = None, layers=()) -> Encoding:
        if mask is not None:
            raise UserError("toy/mlp cannot drop tokens.")
        x = inputs.to(self.head.weight.dtype)
        hidden = []
        for block in self.blocks:
            x = block(x)
            hidden.append(x)
        tokens = torch.stack(hidden, dim=1)
        present = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return Encoding(
            pooled=self.head(x), tokens=tokens, mask=present, layers={d: tokens[:, d : d + 1] for d in layers}
        )

    def layer_groups(self) -> list[list[str]]:
        return [[f"blocks.{i}"] for i in range(len(self.blocks))] + [["head"]]
