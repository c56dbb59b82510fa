"""The file behind a value, for decoders: a local path, or bytes; what cannot be one raises BadSample with its name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from anyclip.errors import BadSample
from anyclip.readers.base import Blob


def fetch(url: str) -> bytes:
    """The bytes behind a URL that fsspec opens. Raises BadSample."""
    with open_url(url) as file:
        try:
            return file.read()
        except (OSError, ValueError) as error:
            raise BadSample(f"{url}: cannot be read: {error}") from error


def open_url(url: str) -> Any:
    """A URL that fsspec opens as a binary file that seeks. Raises BadSample."""
    import fsspec

    try:
        return fsspec.open(url, "rb").open()  # type: ignore[union-attr]
    except FileNotFoundError:
        raise BadSample(f"{url}: no such file") from None
    except (OSError, ValueError, ImportError) as error:
        raise BadSample(f"{url}: cannot be read: {error}") from error


def content_of(value: Any, noun: str, wanted: str, *, remote: Callable[[str], Any] = fetch) -> tuple[Any, str]:
    """(a local path, bytes, or what `remote` makes of a URL; the name for messages). Raises BadSample.

    value: path, URL, bytes, `Blob`, or {"bytes": ..., "path": ...}. noun: what nameless bytes are called: `audio`.
    wanted: `a sound is a path, bytes or (array, rate)`, for another type.
    """
    if isinstance(value, Blob):
        data, name = value.data, value.name
    elif isinstance(value, (bytes, bytearray, memoryview)):
        data, name = bytes(value), f"{noun} bytes"
    elif isinstance(value, Mapping) and value.get("bytes") is not None:
        data, name = bytes(value["bytes"]), str(value.get("path") or f"{noun} bytes")
    else:
        value = value.get("path") if isinstance(value, Mapping) else value
        if not isinstance(value, (str, os.PathLike)):
            raise BadSample(f"{wanted}, not {type(value).__name__}")
        name = str(os.fspath(value))
        if "://" not in name:
            return _checked(name), name
        data = remote(name)
    if isinstance(data, bytes) and not data:
        raise BadSample(f"{name}: the file is empty")
    return data, name


def _checked(path: str) -> str:
    try:
        size = os.stat(path).st_size
        if os.path.isdir(path):
            raise BadSample(f"{path}: is a folder")
    except FileNotFoundError:
        raise BadSample(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise BadSample(f"{path}: cannot be read: {error}") from error
    if not size:
        raise BadSample(f"{path}: the file is empty")
    return path
