"""Tokenizers of the transformers library, from a folder or the hub."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from anyclip.errors import UserError
from anyclip_text.tokenizers.base import SETTINGS_FILE, TextTokenizer

_PROBE = "a photo"
_UNLIMITED = 10**6  # the library writes 1e30 where a tokenizer states no limit


class FolderTokenizer(TextTokenizer):
    """A tokenizer as transformers loads it.

    Only the Rust tokenizer travels into loader workers, which then need not import transformers. Its truncation and
    padding are switched off once, here: switching them per call is what makes it unsafe between threads.
    clean: cleaning that open_clip does before some tokenizers. drop_sep: id of the separator becomes 0 (CLIPA).
    """

    def __init__(self, source: str, *, clean: str | None = None, drop_sep: bool = False):
        tokenizer = _load(source)
        self._source: Any = tokenizer  # for `save`; stays in this process
        self._rust = _rust(tokenizer)
        self._slow: Any = None if self._rust is not None else tokenizer
        self.clean, self._zero = clean, tokenizer.sep_token_id if drop_sep else None
        self.vocab_size = len(tokenizer)
        self.eos_id, self.bos_id = tokenizer.eos_token_id, tokenizer.bos_token_id
        pads = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
        self.pad_id = next(i for i in pads if i is not None)
        limit = tokenizer.model_max_length
        self.max_length = int(limit) if limit and limit < _UNLIMITED else None
        self.prefix, self.suffix = self._specials(tokenizer)
        if self.eos_id is None and self.suffix:
            self.eos_id = self.suffix[-1]
        text = self._rust.to_str() if self._rust is not None else json.dumps(tokenizer.get_vocab(), sort_keys=True)
        settings = f"{text}{self.prefix}{self.suffix}{self.pad_id}{clean}{self._zero}"
        self.digest = hashlib.blake2b(settings.encode(), digest_size=16).hexdigest()

    def _specials(self, tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What the tokenizer puts around a text."""
        whole = [self._kept(i) for i in tokenizer(_PROBE).input_ids]
        inner = self.encode(_PROBE)
        for start in range(len(whole) - len(inner) + 1):
            if whole[start : start + len(inner)] == inner:
                return tuple(whole[:start]), tuple(whole[start + len(inner) :])
        raise UserError(f"the tokenizer {type(tokenizer).__name__} changes a text when it adds special tokens.")

    def _kept(self, i: int) -> int:
        return 0 if i == self._zero and self._zero is not None else i

    def encode(self, text: str) -> list[int]:
        if self.clean is not None:
            from open_clip.tokenizer import get_clean_fn

            text = get_clean_fn(self.clean)(text)
        if self._rust is not None:
            ids = self._rust.encode(text, add_special_tokens=False).ids
        else:
            ids = self._slow(text, add_special_tokens=False).input_ids
        return [self._kept(i) for i in ids] if self._zero is not None else ids

    def save(self, folder: Path) -> None:
        if self._source is None:
            raise UserError("a tokenizer that came out of a loader worker cannot be saved.")
        folder.mkdir(parents=True, exist_ok=True)
        self._source.save_pretrained(str(folder))
        settings = {"kind": "folder", "clean": self.clean, "drop_sep": self._zero is not None}
        (folder / SETTINGS_FILE).write_text(json.dumps(settings) + "\n")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_source": None}


def _load(source: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        reason = str(error).strip().splitlines()
        raise UserError(
            f"no tokenizer in {source!r}: {reason[0] if reason else type(error).__name__}",
            where="option tokenizer",
            hint="Give a folder with tokenizer files, `open_clip` or `bytes`.",
        ) from error


def _rust(tokenizer: Any) -> Any:
    """An own copy of the Rust tokenizer that cuts and pads nothing, or None for a tokenizer in plain Python."""
    backend = getattr(tokenizer, "backend_tokenizer", None) if tokenizer.is_fast else None
    if backend is None:
        return None
    from tokenizers import Tokenizer

    own = Tokenizer.from_str(backend.to_str())
    own.no_truncation()
    own.no_padding()
    return own
