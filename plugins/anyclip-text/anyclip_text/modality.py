"""The text modality outside of towers: decoding, the key of equal texts, the preview of reports. No torch."""

from __future__ import annotations

import hashlib
import html
import os
import unicodedata
from typing import Any

from anyclip.errors import BadSample
from anyclip.readers import Blob

PREVIEW_CHARACTERS = 600


def decode(value: Any) -> str:
    """A string (the text itself), `Blob` or bytes in UTF-8, or a path object of a text file -> the text.

    Raises BadSample: another type, not UTF-8, not valid Unicode, or nothing but whitespace.
    """
    if isinstance(value, os.PathLike):
        value = _read(value)
    if isinstance(value, Blob):
        value = value.data
    if isinstance(value, (bytes, bytearray, memoryview)):
        try:
            value = bytes(value).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise BadSample(f"text is not UTF-8: {error.reason} at byte {error.start}") from None
    if not isinstance(value, str):
        raise BadSample(f"a text is a string, this is {_kind(value)}")
    if not value.strip():
        raise BadSample("text is empty")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # broken escapes in JSON give these
        raise BadSample(f"text holds half of a surrogate pair at character {error.start}") from None
    return value


def _read(path: os.PathLike) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise BadSample(f"cannot read {os.fspath(path)}: {error.strerror}") from None


def _kind(value: Any) -> str:
    if value is None:
        return "nothing (null)"
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)} values (a reader draws one)"
    return f"a {type(value).__name__}"


def content_key(value: Any) -> str:
    """Digest of the text with Unicode composed and whitespace collapsed: equal keys are the same text."""
    text = " ".join(unicodedata.normalize("NFC", decode(value)).split())
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def preview(value: Any) -> str:
    """Self-contained HTML: the text, escaped and cut."""
    text = decode(value)
    shown = text if len(text) <= PREVIEW_CHARACTERS else text[:PREVIEW_CHARACTERS] + "…"
    return f"<q>{html.escape(shown)}</q>"
