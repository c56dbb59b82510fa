"""Choose and build a tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

from anyclip_text.sources import locate
from anyclip_text.tokenizers.base import SETTINGS_FILE, TextTokenizer
from anyclip_text.tokenizers.byte import ByteTokenizer
from anyclip_text.tokenizers.clip_bpe import ClipBPETokenizer
from anyclip_text.tokenizers.fast import FolderTokenizer


def create_tokenizer(name: str, *, clean: str | None = None, drop_sep: bool = False) -> TextTokenizer:
    """`bytes`, `open_clip`, or a source of tokenizer files (see `sources.locate`).

    clean, drop_sep: what open_clip's configs ask of their tokenizers.
    """
    if name == "bytes":
        return ByteTokenizer()
    if name == "open_clip":
        return ClipBPETokenizer(clean or "lower")
    return FolderTokenizer(locate(name, key="tokenizer"), clean=clean, drop_sep=drop_sep)


def saved_tokenizer(folder: Path) -> TextTokenizer:
    """The tokenizer that `save` wrote."""
    settings = json.loads((folder / SETTINGS_FILE).read_text())
    kind = settings.pop("kind")
    if kind == "folder":
        return FolderTokenizer(str(folder), **settings)
    return create_tokenizer(kind, **settings)
