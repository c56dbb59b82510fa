"""Whether a sound file is whole, by its own header: decoders read cut files silently."""

from __future__ import annotations

import io
import os
import struct
from typing import BinaryIO

_UNKNOWN = (0, 0xFFFFFFFF, 0x7FFFFFFF)  # lengths that programs write into a pipe


def what_is_missing(file: str | bytes) -> str | None:
    """What is missing of a wav or ogg file, in words; None when it is whole, or of another kind."""
    try:
        with io.BytesIO(file) if isinstance(file, bytes) else open(file, "rb") as stream:
            head = stream.read(12)
            size = stream.seek(0, os.SEEK_END)
            if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
                return _wav(stream, size)
            if head[:4] == b"OggS":
                return _ogg(stream, size)
    except OSError as error:
        return f"cannot be read: {error}"
    return None


def _wav(stream: BinaryIO, size: int) -> str | None:
    """Walk the chunks (id, length, padded to even) up to `data`."""
    place = 12
    while place + 8 <= size:
        stream.seek(place)
        name, length = struct.unpack("<4sI", stream.read(8))
        if name == b"data":
            there = size - place - 8
            if length not in _UNKNOWN and there < length:
                return f"truncated: {there} of {length} bytes of sound are there"
            return None
        place += 8 + length + length % 2
    return "truncated: it has no sound data"


def _ogg(stream: BinaryIO, size: int) -> str | None:
    """The last page must be whole (RFC 3533, section 6: 27 bytes, the segment table, the segments)."""
    stream.seek(max(0, size - 2 * 65_307))
    tail = stream.read()
    at = tail.rfind(b"OggS")
    if at < 0 or at + 27 > len(tail):
        return "truncated in its last page"
    table = tail[at + 27 : at + 27 + tail[at + 26]]
    if len(table) < tail[at + 26] or at + 27 + len(table) + sum(table) > len(tail):
        return "truncated in its last page"
    return None
