"""UTF-8 bytes as tokens: any language, no files."""

from __future__ import annotations

import json
from pathlib import Path

from anyclip_text.tokenizers.base import SETTINGS_FILE, TextTokenizer


class ByteTokenizer(TextTokenizer):
    """Ids: 0 padding, 1 begin, 2 end, byte b is 3 + b."""

    prefix, suffix = (1,), (2,)
    bos_id, eos_id = 1, 2
    vocab_size = 259
    digest = "bytes-1"

    def encode(self, text: str) -> list[int]:
        return [3 + byte for byte in text.encode()]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SETTINGS_FILE).write_text(json.dumps({"kind": "bytes"}) + "\n")
