"""What a cell of a table becomes: bytes and file structs as `Blob`, the rest as it is."""

from __future__ import annotations

from typing import Any

from anyclip.readers.base import Blob


def undecoded(value: Any, name: str) -> Any:
    """One cell. `name`: what a Blob is called when the cell does not say.

    bytes -> Blob; `{"bytes": ..., "path": ...}` (the Image and Audio cells of Parquet files) -> Blob or the path;
    a list of these -> a list of those (alternatives).
    """
    if isinstance(value, bytes):
        return Blob(value, name)
    if isinstance(value, dict) and value.keys() == {"bytes", "path"}:
        if value["bytes"] is not None:
            return Blob(value["bytes"], value["path"] or name)
        return value["path"]
    if isinstance(value, list) and value and isinstance(value[0], (bytes, dict, list)):
        return [undecoded(item, name) for item in value]
    return value
