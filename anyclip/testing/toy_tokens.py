"""A tiny tower of token ids, of different lengths, for the proof of exactness and for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anyclip.processors import Processor
from anyclip.towers import Encoding, Tower


class ToyTokenProcessor(Processor):
    """Sequences of ids -> `{"ids": [B, T], "mask": [B, T]}`, padded to the longest."""

    def load(self, value: Any, *, rng: Any = None) -> Tensor:
        return torch.as_tensor(value, dtype=torch.long)

    def collate(self, samples: list[Tensor]) -> dict[str, Tensor]:
        length = max(len(s) for s in samples)
        ids = torch.stack([F.pad(s, (0, length - len(s))) for s in samples])
        lengths = torch.tensor([len(s) for s in samples])
        return {"ids": ids, "mask": torch.arange(length)[None] < lengths[:, None]}

    def placeholder(self) -> Tensor:
        return torch.ones(2, dtype=torch.long)


class ToyTokens(Tower):
    """Embeddings, one layer in which each token sees the mean of the present ones, and their mean as the output.

    `terms["activity"]` is a row's mean squared token.
    """

    modality = "toy"

    def __init__(self, *, vocabulary: int = 9, width: int = 6):
        super().__init__()
        self.width, self.processor = width, ToyTokenProcessor()
        self.table = nn.Embedding(vocabulary, width)
        self.own, self.others, self.head = (nn.Linear(width, width) for _ in range(3))

    def token_table(self) -> Tensor:
        return self.table.weight

    def forward(self, inputs: Mapping[str, Tensor], *, mask: Tensor | None = None, layers=()) -> Encoding:
        """mask [B, T]: True = drop the token."""
        present = inputs["mask"] if mask is None else inputs["mask"] & ~mask
        return self._run(self.table(inputs["ids"]), present)

    def forward_embeds(self, embeds: Tensor, mask: Tensor, *, context: Encoding | None = None) -> Encoding:
        """embeds [B, T, W]; mask [B, T], True = present."""
        return self._run(embeds, mask)

    def _run(self, embeds: Tensor, mask: Tensor) -> Encoding:
        mean = _mean(embeds, mask)
        tokens = F.gelu(self.own(embeds) + self.others(mean)[:, None])
        activity = _mean(tokens.square(), mask).mean(dim=-1)
        return Encoding(pooled=self.head(_mean(tokens, mask)), tokens=tokens, mask=mask, terms={"activity": activity})


def _mean(x: Tensor, mask: Tensor) -> Tensor:
    weight = mask[..., None].to(x.dtype)
    return (x * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
