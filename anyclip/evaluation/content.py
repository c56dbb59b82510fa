"""When two values are the same content: equal captions, the same file twice."""

from __future__ import annotations

import hashlib
import pickle
from typing import Any

import fsspec
import numpy as np

from anyclip.errors import BadSample
from anyclip.readers import Blob
from anyclip.registry import get_registry
from anyclip.registry.registry import resolve


class ContentKey:
    """Value -> digest of its content, for one modality.

    A modality's own `content_key` decides where it brings one; otherwise plain strings are compared as they are, and
    paths, bytes and arrays by their bytes.
    """

    def __init__(self, modality: str):
        spec = get_registry().modality(modality)
        self._own = resolve(spec.content_key) if spec.content_key else None
        self._string_is_value = spec.string_is_value

    def __call__(self, value: Any) -> str:
        """Raises BadSample when the content cannot be read."""
        if self._own is not None:
            return self._own(value)
        if isinstance(value, str):
            return f"={value}" if self._string_is_value else _digest(_read(value))
        return _digest(_bytes(value))


def _read(path: str) -> bytes:
    try:
        with fsspec.open(path, "rb") as file:
            return file.read()  # type: ignore[union-attr]
    except (OSError, ValueError, ImportError) as error:
        raise BadSample(f"cannot be read: {error}") from error


def _bytes(value: Any) -> bytes:
    if isinstance(value, Blob):
        return value.data
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes()
    if isinstance(value, (tuple, list)):
        return b"".join(len(part := _bytes(v)).to_bytes(8, "little") + part for v in value)
    if hasattr(value, "tobytes"):  # images of PIL
        return (
            f"{type(value).__name__}{getattr(value, 'size', '')}{getattr(value, 'mode', '')}".encode() + value.tobytes()
        )
    return pickle.dumps(value, protocol=4)


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
