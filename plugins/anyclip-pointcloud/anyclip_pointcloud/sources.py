"""Open a value (path, URL, bytes) as a file whose parts can be read, and records of one size in bounded memory."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from anyclip.errors import BadSample
from anyclip.readers import Blob

_BUFFER = 120_000  # bytes; below the size for which the allocator asks the system


class PointFile:
    """A file on disk or in memory. name: for messages; suffix: lower case, from the name; size: in bytes.

    part: the row of a file that holds several clouds (`clouds.h5#12`), or None.
    """

    def __init__(self, name: str, *, path: str | None = None, data: bytes | None = None, part: int | None = None):
        self.name, self.path, self.data, self.part = name, path, data, part
        self.suffix = os.path.splitext(name.lower())[1]
        self.size = len(data) if data is not None else os.path.getsize(path or "")
        if not self.size:
            raise BadSample(f"{name}: the file is empty")

    def open(self) -> BinaryIO:
        """A stream from the beginning; close it."""
        return io.BytesIO(self.data) if self.data is not None else open(self.path or "", "rb")

    def read(self, offset: int = 0, count: int = -1) -> bytes:
        """Bytes from `offset`, all when `count` is -1."""
        if self.data is not None:
            return self.data[offset:] if count < 0 else self.data[offset : offset + count]
        with self.open() as stream:
            stream.seek(offset)
            return stream.read(count)

    def error(self, reason: str) -> BadSample:
        """A BadSample that names the file."""
        return BadSample(f"{self.name}: {reason}")


def open_file(value: Any) -> PointFile | None:
    """A path, URL that fsspec opens, bytes, `Blob` or {"bytes": ..., "path": ...} as a file; None: it is no file.

    A `#` and a number after the path name one of several clouds. Raises BadSample.
    """
    if isinstance(value, Blob):
        return PointFile(value.name, data=value.data)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return PointFile("point-cloud bytes", data=bytes(value))
    if isinstance(value, Mapping) and value.get("bytes") is not None:
        return PointFile(str(value.get("path") or "point-cloud bytes"), data=bytes(value["bytes"]))
    if isinstance(value, Mapping) and isinstance(value.get("path"), (str, os.PathLike)):
        value = value["path"]
    if not isinstance(value, (str, os.PathLike)):
        return None
    name = str(os.fspath(value))
    path, _, number = name.rpartition("#")
    part = int(number) if path and number.isdecimal() else None
    path = path if part is not None else name
    if "://" in path:
        return PointFile(path, data=_fetch(path), part=part)
    try:
        if os.path.isdir(path):
            raise BadSample(f"{path}: is a folder")
        return PointFile(path, path=path, part=part)
    except FileNotFoundError:
        raise BadSample(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise BadSample(f"{path}: cannot be read: {error}") from error


def _fetch(url: str) -> bytes:
    import fsspec

    try:
        with fsspec.open(url, "rb") as file:
            return file.read()  # type: ignore[attr-defined]
    except FileNotFoundError:
        raise BadSample(f"{url}: no such file") from None
    except (OSError, ValueError, ImportError) as error:
        raise BadSample(f"{url}: cannot be read: {error}") from error


def stride(count: int, most: int) -> int:
    """Every how many-th of `count` points is kept so that at most `most` are."""
    return -(-count // most)


def record_blocks(file: PointFile, dtype: np.dtype, count: int, offset: int, most: int) -> Iterator[np.ndarray]:
    """Records of one size, thinned to at most `most`, in blocks that share a buffer. Raises BadSample when cut.

    The buffer is small: it stays in the processor's cache, and fresh memory costs more than reading.
    """
    there = (file.size - offset) // dtype.itemsize
    if there < count:
        raise file.error(f"truncated: the header says {count} points, {max(there, 0)} are there")
    step = stride(count, most)
    if file.data is not None:
        yield np.frombuffer(file.data, dtype, count, offset)[::step]
        return
    rows = min(count, max(1, _BUFFER // dtype.itemsize // step) * step)
    buffer = np.empty(rows, dtype)
    data = memoryview(buffer.view(np.uint8))  # type: ignore[arg-type]
    with open(file.path or "", "rb", buffering=0) as stream:
        stream.seek(offset)
        for start in range(0, count, rows):
            part = min(rows, count - start)
            if stream.readinto(data[: part * dtype.itemsize]) != part * dtype.itemsize:
                raise file.error("truncated while it was read")
            yield buffer[:part:step]


def read_records(file: PointFile, dtype: np.dtype, count: int, offset: int, most: int) -> np.ndarray:
    """`record_blocks` as one array."""
    blocks = record_blocks(file, dtype, count, offset, most)
    if file.data is not None:
        return next(blocks)
    found, done = np.empty(-(-count // stride(count, most)), dtype), 0
    for block in blocks:
        found[done : done + len(block)] = block
        done += len(block)
    return found
