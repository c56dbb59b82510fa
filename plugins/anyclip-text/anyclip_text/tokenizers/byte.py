"""UTF-8 bytes as tokens: any language, no files."""

from __future__ import annotations

import json
from pathlib import Path

from anyclip_text.tokenizers.base import SETTINGS_FILE, TextTokenizer


class ByteTokenizer(TextTokenizer):
    """Ids: 0 padding, byte b is 1 + b, 257 begin, 258 end. The end is the largest id, where CLIP models pool."""

    prefix, suffix = (257,), (258,)
    bos_id, eos_id = 257, 258
    vocab_size = 259
    digest = "bytes-1"

    def encode(self, text: str) -> list[int]:
        return [1 + byte for byte in text.encode()]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SETTINGS_FILE).write_text(json.dumps({"kind": "bytes"}) + "\n")
