"""A few rows for each reader of the core, as `ReaderSpec.example` wants them."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

ROWS = 5


def _vector(row: int) -> bytes:
    """A `.npy` file of the toy modality."""
    buffer = io.BytesIO()
    np.save(buffer, np.random.Generator(np.random.Philox(row)).standard_normal(16).astype(np.float32))
    return buffer.getvalue()


def manifest(folder: Path) -> dict[str, Any]:
    """A JSONL table that names files beside it."""
    for row in range(ROWS):
        (folder / f"{row}.toy.npy").write_bytes(_vector(row))
    lines = [json.dumps({"file": f"{row}.toy.npy", "caption": f"vector {row}"}) for row in range(ROWS)]
    (folder / "table.jsonl").write_text("\n".join(lines) + "\n")
    return {"path": str(folder / "table.jsonl")}


def tar(folder: Path) -> dict[str, Any]:
    """One shard."""
    with tarfile.open(folder / "shard-0000.tar", "w") as archive:
        for row in range(ROWS):
            for suffix, data in ((".toy.npy", _vector(row)), (".json", json.dumps({"number": row}).encode())):
                entry = tarfile.TarInfo(f"{row:04d}{suffix}")
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    return {"path": str(folder / "shard-0000.tar")}


def folder(folder: Path) -> dict[str, Any]:
    """Two classes."""
    for row in range(ROWS):
        place = folder / "classes" / ("even" if row % 2 == 0 else "odd")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{row}.toy.npy").write_bytes(_vector(row))
    return {"path": str(folder / "classes")}


def huggingface(folder: Path) -> dict[str, Any]:
    """A Parquet file, which needs no further package."""
    import pyarrow
    import pyarrow.parquet

    columns = {"caption": [f"vector {row}" for row in range(ROWS)], "number": list(range(ROWS))}
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "rows.parquet")
    return {"path": str(folder / "rows.parquet")}
