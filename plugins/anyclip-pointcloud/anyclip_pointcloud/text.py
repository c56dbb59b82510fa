"""Numbers in text: .xyz, .txt, .pts, and the tables inside ascii ply, pcd and off files."""

from __future__ import annotations

import warnings

import numpy as np

from anyclip_pointcloud.cloud import Cloud
from anyclip_pointcloud.columns import table_cloud
from anyclip_pointcloud.sources import PointFile, stride

_BLOCK = 1 << 24
_HEAD = 1 << 16
_SEPARATORS = bytes.maketrans(b",;\t", b"   ")


def parse_numbers(text: bytes, file: PointFile) -> np.ndarray:
    """Numbers between white space, commas or semicolons, float64 [T]. Raises BadSample at what is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy only warns when it stops at something else
        try:
            return np.fromstring(text.translate(_SEPARATORS), dtype=np.float64, sep=" ")
        except (ValueError, DeprecationWarning):
            raise file.error(f"damaged: not numbers only, near {_offender(text)!r}") from None


def _offender(text: bytes) -> str:
    for word in text.translate(_SEPARATORS).split():
        try:
            float(word)
        except ValueError:
            return word[:40].decode("latin-1")
    return text[:40].decode("latin-1")


def read_text(file: PointFile, most: int) -> Cloud:
    """A table of points; lines before the first row that are no numbers, and a count alone (.pts), are skipped."""
    head = file.read(0, _HEAD)
    if b"\0" in head:
        raise file.error("not a point cloud that can be read: neither a known format nor text")
    offset, columns = _first_row(head, file)
    return table_cloud(read_table(file, offset, most, columns=columns), file.name)


def _first_row(head: bytes, file: PointFile) -> tuple[int, int]:
    """(where the rows begin, their columns)."""
    offset = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    for line in head[offset:].splitlines(keepends=True):
        words = line.translate(_SEPARATORS).split()
        if len(words) > 1 and all(map(_is_number, words)):
            return offset, len(words)
        if words and not _is_number(words[0]) and not words[0].startswith((b"#", b"//")) and len(words[0]) > 64:
            break
        offset += len(line)
    raise file.error("not a point cloud that can be read: no row of numbers")


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def read_table(file: PointFile, offset: int, most: int, *, columns: int, rows: int | None = None) -> np.ndarray:
    """Rows of `columns` numbers from `offset`, float64 [N, columns], thinned to about `most`; in blocks of 16 MB.

    rows: how many there must be; None: as many as the file has. Raises BadSample for a cut file.
    """
    step, seen, kept, rest = 1, 0, [], b""
    with file.open() as stream:
        stream.seek(offset)
        while True:
            block = stream.read(_BLOCK)
            text = rest + block
            cut = text.rfind(b"\n") + 1 if block else len(text)
            text, rest = text[:cut], text[cut:]
            table = _rows(text, columns, file)
            if not seen and len(table):  # how many rows there are is known only at the end: from the first block
                total = rows or max(len(table), (file.size - offset) * len(table) // max(1, len(text)))
                step = stride(total, most)
            if rows is not None:
                table = table[: rows - seen]
            kept.append(table[-seen % step :: step].copy())
            seen += len(table)
            if not block or (rows is not None and seen >= rows):
                break
    if rows is not None and seen < rows:
        raise file.error(f"truncated: the header says {rows} points, {seen} are there")
    return np.concatenate(kept)


def _rows(text: bytes, columns: int, file: PointFile) -> np.ndarray:
    numbers = parse_numbers(text, file)
    if len(numbers) % columns:
        raise file.error(f"truncated or damaged: {len(numbers)} numbers are no rows of {columns}")
    return numbers.reshape(-1, columns)
