"""What a cell of a table becomes: bytes and file structs as `Blob`, lists of numbers as arrays, the rest as it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from anyclip.readers.base import Blob


def undecoded(value: Any, name: str) -> Any:
    """One cell. `name`: what a Blob is called when the cell does not say.

    bytes -> Blob; `{"bytes": ..., "path": ...}` (the Image and Audio cells of Parquet files) -> Blob or the path;
    a list of numbers, nested or not -> an array; a list of anything else stays a list of alternatives.
    """
    if isinstance(value, bytes):
        return Blob(value, name)
    if isinstance(value, dict) and value.keys() == {"bytes", "path"}:
        if value["bytes"] is not None:
            return Blob(value["bytes"], value["path"] or name)
        return value["path"]
    if isinstance(value, list) and value:
        if _numeric(value):
            return _array(value)
        return [undecoded(item, name) for item in value]
    return value


def _numeric(value: list[Any]) -> bool:
    first = value[0]
    if isinstance(first, list):
        return bool(first) and all(isinstance(item, list) and item and _numeric(item) for item in value)
    return all(isinstance(item, (int, float)) and not isinstance(item, bool) for item in value)


def _array(value: list[Any]) -> Any:
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        return value
    return array.astype(np.float32) if array.dtype == np.float64 else array
