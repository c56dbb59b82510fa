"""Embedding tables: a Parquet file of vectors that knows which model made them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from anyclip.errors import DataError

_KEY = b"anyclip"


@dataclass(frozen=True)
class TableInfo:
    """Kept in the file's metadata: the model's digest and where it lay, the width of its space and of the vectors."""

    digest: str
    model: str
    model_dim: int
    dim: int
    version: str


class TableWriter:
    """Writes id, modality, stream, value and vector (`fixed_size_list<float32>[dim]`), part by part.

    The file appears under its name when all is written; an error leaves nothing behind.
    """

    def __init__(self, path: str | Path, info: TableInfo):
        self.path, self.info = Path(path), info
        self._part = self.path.with_name(f".{self.path.name}.part{os.getpid()}")
        strings = [(name, pa.string()) for name in ("id", "modality", "stream", "value")]
        schema = pa.schema([*strings, ("vector", pa.list_(pa.float32(), info.dim))])
        self._schema = schema.with_metadata({_KEY: json.dumps(asdict(info)).encode()})
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> TableWriter:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._part, self._schema)
        except OSError as error:
            raise DataError(f"cannot be written: {error}.", where=str(self.path)) from error
        return self

    def write(
        self, ids: Sequence[str], modalities: Sequence[str], streams: Sequence[str], values: Sequence[str], vectors
    ) -> None:
        """Append rows; vectors float32 [n, dim]."""
        assert self._writer is not None
        flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).ravel())
        columns = [*(pa.array(list(c), pa.string()) for c in (ids, modalities, streams, values))]
        columns.append(pa.FixedSizeListArray.from_arrays(flat, self.info.dim))
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))

    def __exit__(self, kind, error, trace) -> None:
        assert self._writer is not None
        self._writer.close()
        if kind is None:
            self._part.replace(self.path)
        else:
            self._part.unlink(missing_ok=True)


class EmbeddingTable:
    """A table read back: `ids`, `modalities`, `streams`, `values` (lists), `vectors` float32 [N, dim], `info`."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        try:
            table = pq.read_table(self.path)
        except (OSError, pa.ArrowException) as error:
            raise DataError(
                f"cannot be read: {error}.", where=str(path), next=f"anyclip embed RUN FILES -o {path}"
            ) from error
        raw = (table.schema.metadata or {}).get(_KEY)
        if raw is None:
            raise DataError("was not written by `anyclip embed`.", where=str(path), next="anyclip embed --help")
        self.info = TableInfo(**json.loads(raw))
        self.ids, self.modalities = table["id"].to_pylist(), table["modality"].to_pylist()
        self.streams, self.values = table["stream"].to_pylist(), table["value"].to_pylist()
        flat = table["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        self.vectors = flat.reshape(-1, self.info.dim)

    def __len__(self) -> int:
        return len(self.ids)
