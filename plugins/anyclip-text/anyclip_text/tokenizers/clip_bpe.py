"""The byte-pair tokenizer of CLIP; open_clip ships its vocabulary, so it needs no download."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from anyclip_text.tokenizers.base import SETTINGS_FILE, TextTokenizer

_WORDS_REMEMBERED = 200_000  # the library remembers the pieces of every word it met; a long run meets millions


class ClipBPETokenizer(TextTokenizer):
    """open_clip's SimpleTokenizer: 49,408 ids. clean: `lower`, `canonicalize`, `whitespace`."""

    prefix, suffix = (49406,), (49407,)
    bos_id, eos_id = 49406, 49407
    vocab_size = 49408
    max_length = 77

    def __init__(self, clean: str = "lower"):
        self.clean = clean
        self.digest = f"clip-bpe-{clean}"

    def encode(self, text: str) -> list[int]:
        tokenizer = _shared(self.clean)
        ids = tokenizer.encode(text)
        if len(tokenizer.cache) > _WORDS_REMEMBERED:
            tokenizer.cache = {"<start_of_text>": "<start_of_text>", "<end_of_text>": "<end_of_text>"}
        return ids

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SETTINGS_FILE).write_text(json.dumps({"kind": "open_clip", "clean": self.clean}) + "\n")


@lru_cache(maxsize=4)
def _shared(clean: str) -> Any:
    """One tokenizer per process and setting; it is 30 MB and pickles badly."""
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer(clean=clean)
