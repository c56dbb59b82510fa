"""For importers of checkpoints with a text side: the tokenizer of the model folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from anyclip.checkpoint.importing import folder_of
from anyclip_text.tokenizers import create_tokenizer

_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")


def tokenizer_beside(source: Path | None) -> str | None:
    """The folder of the weights when it also holds a tokenizer."""
    folder = folder_of(source)
    return str(folder) if folder and any((folder / name).is_file() for name in _FILES) else None


def tokenizer_asset(place: str, **settings: Any) -> Callable[[Path], None]:
    """Writes a tokenizer into the assets of a text tower; see `create_tokenizer`."""

    def write(folder: Path) -> None:
        create_tokenizer(place, **settings).save(folder / "tokenizer")

    return write
