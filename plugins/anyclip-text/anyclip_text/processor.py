"""The processor of every text tower: clean, cut, tokenize, shorten, pad."""

from __future__ import annotations

import os
import string
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anyclip.errors import BadSample
from anyclip.processors import Processor
from anyclip_text.modality import decode
from anyclip_text.tokenizers.base import TextTokenizer

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # one text at a time; threads would deadlock forked workers

CHARACTERS_PER_TOKEN = 32  # more than any real text needs; bounds the time that a giant text takes
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class TextProcessor(Processor):
    """Strings, `Blob`, UTF-8 bytes -> `{"ids": [B, T] int64, "mask": [B, T] bool}`, mask True = a token of the text.

    context_length: most tokens per text, special ones included. fixed: pad to it instead of to the longest text.
    truncation, clean: see `TextOptions`.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        context_length: int,
        *,
        fixed: bool = False,
        truncation: str = "end",
        clean: str = "strip",
    ):
        self.tokenizer, self.tokenizer_digest = tokenizer, tokenizer.digest
        self.context_length, self.fixed = context_length, fixed
        self.truncation, self.clean = truncation, clean
        self.room = context_length - len(tokenizer.prefix) - len(tokenizer.suffix)

    @property
    def deterministic(self) -> bool:
        return self.truncation == "end"

    def load(self, value: Any, *, rng: np.random.Generator | None = None) -> list[int]:
        """One text -> its ids, special tokens included. rng draws which tokens of a long text stay."""
        text = self._clean(decode(value))
        ids = self.tokenizer.encode(text)
        if len(ids) > self.room:
            ids = self._shorten(ids, rng)
        ids = [*self.tokenizer.prefix, *ids, *self.tokenizer.suffix]
        if not ids:
            raise BadSample("text holds no token")
        return ids

    def _clean(self, text: str) -> str:
        limit = CHARACTERS_PER_TOKEN * self.context_length
        text = text.strip()
        if len(text) > limit:  # runs of whitespace are no tokens, so they must not count
            text = " ".join(text[: 64 * limit].split())[:limit]
        if self.clean == "strip":
            return text
        if self.clean == "canonicalize":
            text = text.replace("_", " ").translate(_NO_PUNCTUATION)
        if self.clean in ("lower", "canonicalize"):
            text = text.lower()
        text = " ".join(text.split())
        if not text:
            raise BadSample("text is empty after cleaning")
        return text

    def _shorten(self, ids: list[int], rng: np.random.Generator | None) -> list[int]:
        """Text masking of CLIPA (arXiv 2305.07017, section 3): which of too many tokens to keep."""
        if rng is None or self.truncation == "end":
            return ids[: self.room]
        if self.truncation == "simple":
            start = int(rng.integers(len(ids) - self.room + 1))
            return ids[start : start + self.room]
        kept = rng.permutation(len(ids))[: self.room]
        if self.truncation == "random":
            kept.sort()
        return [ids[i] for i in kept]

    def collate(self, samples: list[list[int]]) -> dict[str, Tensor]:
        length = self.context_length if self.fixed else max(map(len, samples))
        ids = np.full((len(samples), length), self.tokenizer.pad_id, dtype=np.int64)
        mask = np.zeros((len(samples), length), dtype=bool)
        for row, sample in enumerate(samples):
            ids[row, : len(sample)] = sample
            mask[row, : len(sample)] = True
        return {"ids": torch.from_numpy(ids), "mask": torch.from_numpy(mask)}

    def placeholder(self) -> list[int]:
        return [*self.tokenizer.prefix, self.tokenizer.plain_id(), *self.tokenizer.suffix]
