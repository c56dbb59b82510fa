"""The interface of a tokenizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

SETTINGS_FILE = "tokenizer_kind.json"  # which tokenizer a saved folder holds


class TextTokenizer(ABC):
    """Text to ids; picklable and safe to call from several threads at once.

    prefix, suffix: special ids before and after every text. pad_id: fills up short texts. vocab_size: one more than
    the largest id. eos_id: the id that ends a text, or None. max_length: what the tokenizer says its model takes.
    digest: identity, for cache keys.
    """

    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    pad_id: int = 0
    vocab_size: int
    eos_id: int | None = None
    bos_id: int | None = None
    max_length: int | None = None
    digest: str

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Ids of the text without special tokens, however many there are."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what `saved_tokenizer(folder)` needs."""

    def plain_id(self) -> int:
        """An id that stands for an ordinary token."""
        special = {self.pad_id, self.eos_id, self.bos_id, *self.prefix, *self.suffix}
        return next(i for i in range(2, self.vocab_size) if i not in special)  # 0 and 1 are special to many models
