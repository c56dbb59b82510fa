"""Digests of contents: which values are the same bytes, without reading a file twice."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from anyclip.errors import BadSample
from anyclip.readers import Blob

SIZE = 16  # bytes of a digest


def digest(data: bytes, *parts: str) -> bytes:
    """blake2b of some bytes and of what they are taken for."""
    hashed = hashlib.blake2b("\0".join(parts).encode() + b"\0\0", digest_size=SIZE)
    hashed.update(data)
    return hashed.digest()


def value_digest(value: Any, *, text: bool) -> bytes:
    """Digest of a value's content. text: plain strings are values. Raises BadSample for a file that cannot be read.

    A file's ending is part of it: processors decode by it.
    """
    if isinstance(value, str):
        return digest(value.encode("utf-8", "surrogatepass"), "string") if text else file_digest(value)
    if isinstance(value, Blob):
        return digest(value.data, "file", _suffix(value.name))
    if isinstance(value, (bytes, bytearray)):
        return digest(bytes(value), "bytes")
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return digest(np.ascontiguousarray(value).tobytes(), "array", str(value.dtype), str(value.shape))
    if isinstance(value, (list, tuple)):
        return digest(b"".join(value_digest(part, text=text) for part in value), type(value).__name__)
    if isinstance(value, (int, float)):
        return digest(repr(value).encode(), "number")
    return digest(pickle.dumps(value, protocol=4), type(value).__qualname__)


def file_digest(path: str) -> bytes:
    """Digest of a file's bytes. Raises BadSample."""
    try:
        if "://" in path:
            import fsspec

            with fsspec.open(path, "rb") as file:
                data = file.read()  # type: ignore[union-attr]
        else:
            with open(path, "rb") as file:
                data = file.read()
    except (OSError, ValueError, ImportError) as error:
        raise BadSample(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return digest(data, "file", _suffix(path))


def file_stamp(path: str) -> bytes | None:
    """Digest of a local file's path, size and time of change; None for other files."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return digest(os.path.abspath(path).encode("utf-8", "surrogateescape"), str(found.st_size), str(found.st_mtime_ns))


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def text_number(text: str) -> int:
    """A whole number for a label in words: equal texts have equal numbers, on every process and in every run."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)
