"""What the boxes of an mp4 file (ISO/IEC 14496-12) say without decoding: is it whole, is its frame rate constant."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_LARGEST = 1 << 26  # bytes of an index that is read; that of a film of ten hours has a tenth of it


@dataclass(frozen=True)
class Mp4Facts:
    """missing: what is cut off, in words, or None. constant: every frame is shown equally long, the first at once."""

    missing: str | None = None
    constant: bool = False


def read_mp4(file: BinaryIO) -> Mp4Facts:
    """Facts of an mp4 (mov) file; the empty facts of any other. Raises OSError."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(8)[4:] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return Mp4Facts()
    index: bytes | None = None
    place = 0
    while place + 8 <= size:
        file.seek(place)
        head = file.read(16)
        length, name = struct.unpack(">I4s", head[:8])
        if length == 1 and len(head) == 16:
            length = struct.unpack(">Q", head[8:])[0]
        elif length == 0:  # to the end of the file
            length = size - place
        if length < 8:
            break
        if place + length > size:
            kind = {b"mdat": "frames", b"moov": "index"}.get(name, "file")
            return Mp4Facts(missing=f"truncated: {size - place} of {length} bytes of its {kind} are there")
        if name == b"moov" and length <= _LARGEST:
            file.seek(place + 8)
            index = file.read(length - 8)
        place += length
    if index is None:
        return Mp4Facts(missing="truncated: it has no index (moov)")
    return Mp4Facts(constant=_constant(index))


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        if length < 8:  # 64-bit and open lengths do not occur inside an index
            return
        yield name, data[place + 8 : place + length]
        place += length


def _inside(data: bytes, *path: bytes) -> bytes | None:
    for name in path:
        data = next((inner for found, inner in _boxes(data) if found == name), b"")
        if not data:
            return None
    return data


def _constant(index: bytes) -> bool:
    if any(name == b"mvex" for name, _ in _boxes(index)):  # fragments: the index knows no times
        return False
    for name, track in _boxes(index):
        kind = _inside(track, b"mdia", b"hdlr") if name == b"trak" else None
        if kind is not None and kind[8:12] == b"vide":
            return _constant_track(track)
    return False


def _constant_track(track: bytes) -> bool:
    """One duration for all frames, and an edit list that begins with the first frame shown."""
    table = _inside(track, b"mdia", b"minf", b"stbl") or b""
    durations, offsets = _inside(table, b"stts"), _inside(table, b"ctts")
    if durations is None or len(durations) < 16 or struct.unpack_from(">I", durations, 4)[0] != 1:
        return False
    delay = struct.unpack_from(">i", offsets, 12)[0] if offsets and len(offsets) >= 16 else 0
    edits = _inside(track, b"edts", b"elst")
    if edits is None:
        return delay == 0
    if struct.unpack_from(">I", edits, 4)[0] != 1:
        return False
    start = struct.unpack_from(">q", edits, 16)[0] if edits[0] == 1 else struct.unpack_from(">i", edits, 12)[0]
    return start == delay
