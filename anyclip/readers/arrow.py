"""Parquet tables with random access: small ones in memory, large ones as a memory-mapped Arrow copy in the cache."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from anyclip.errors import DataError
from anyclip.readers.paths import cache_folder, digest_file
from anyclip.readers.shared import share, unshare
from anyclip.readers.where import Where

IN_MEMORY = 1 << 24
"""Tables up to 16 MiB are held in memory and sent to loader workers; larger ones are mapped, one copy for all."""


class ArrowTable:
    """Rows of one or several Parquet files of the same columns.

    A Parquet page cannot be read by row without decoding it, so a table above 16 MiB is written once as an
    uncompressed Arrow file into the cache folder (as the `datasets` library does) and memory-mapped.

    Args:
        paths: local `.parquet` files, rows in this order.
        name: how messages call it, when there are several files.
        where: keeps the rows for which it holds.

    Raises DataError for a damaged file, two columns of one name, or files that do not fit together.
    """

    def __init__(self, paths: list[str], *, name: str, where: Where | None = None):
        self.paths, self.name = paths, name
        files = [_open(path) for path in paths]
        self._check(files, files[0].schema_arrow)
        self.schema = _without_dictionaries(files[0].schema_arrow)
        self.digest = _digest(paths)
        self._counts = [file.metadata.num_rows for file in files]
        size = sum(f.metadata.row_group(i).total_byte_size for f in files for i in range(f.metadata.num_row_groups))
        self._mapped: str | None = None
        self._table: pa.Table | None = None
        if size <= IN_MEMORY:
            self._table = pa.concat_tables([file.read() for file in files]).combine_chunks()
        else:
            self._mapped = _arrow_copy(files, self.schema, self.digest)
        self._prepare()
        self.rows: np.ndarray | None = self._filter(where) if where is not None else None
        if not len(self):
            reason = "holds no rows." if where is None else f"no row is left by where: {where.text}."
            raise DataError(reason, where=name)

    @property
    def columns(self) -> list[str]:
        return list(self.schema.names)

    def _check(self, files: list[pq.ParquetFile], schema: pa.Schema) -> None:
        names = schema.names
        for name in names:
            if names.count(name) > 1:
                raise DataError(f"two columns are named {name!r}.", where=self.paths[0])
        for path, file in zip(self.paths, files):
            if not file.schema_arrow.equals(schema):
                raise DataError(f"has other columns or types than {os.path.basename(self.paths[0])}.", where=path)

    def _prepare(self) -> None:
        if self._table is not None:
            self._batches = self._table.to_batches()
        else:
            with pa.memory_map(str(self._mapped)) as source:
                reader = pa.ipc.open_file(source)
                self._batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        self._ends = np.cumsum([batch.num_rows for batch in self._batches])

    def __getstate__(self) -> dict[str, Any]:
        state = {k: v for k, v in self.__dict__.items() if k not in ("_batches", "_ends")}
        return {**state, "rows": None if self.rows is None else share(self.rows)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.rows = unshare(self.rows)
        self._prepare()

    def _filter(self, where: Where) -> np.ndarray:
        where.check(self.columns)
        kept, row = [], 0
        for batch in self._batches:
            for values in batch.select(where.columns).to_pylist() if where.columns else [{}] * batch.num_rows:
                try:
                    if where(values):
                        kept.append(row)
                except TypeError as error:
                    raise DataError(f"where: {where.text!r}: {error}.", where=f"{self.name}, row {row + 1}") from None
                row += 1
        return np.array(kept, dtype=np.int64)

    def __len__(self) -> int:
        if self.rows is not None:
            return len(self.rows)
        return int(self._ends[-1]) if len(self._ends) else 0

    def sample_id(self, row: int) -> str:
        """`file.parquet:12`: the file and its row, counted from 1."""
        at = self._at(row)
        for path, count in zip(self.paths, self._counts):
            if at < count:
                return f"{os.path.basename(path)}:{at + 1}"
            at -= count
        raise IndexError(row)

    def _at(self, row: int) -> int:
        return int(self.rows[row]) if self.rows is not None else row

    def row(self, row: int, columns: list[str] | None = None) -> dict[str, Any]:
        """The values of a row as Python objects, of all columns or of those asked for."""
        at = self._at(row)
        which = int(np.searchsorted(self._ends, at, side="right"))
        batch = self._batches[which]
        at -= int(self._ends[which]) - batch.num_rows
        return {name: batch.column(name)[at].as_py() for name in columns or self.schema.names}


def _open(path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, memory_map=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"is not a readable Parquet file: {str(error).splitlines()[0]}", where=path) from None


def _without_dictionaries(schema: pa.Schema) -> pa.Schema:
    """Categories as their values: each batch has a dictionary of its own, which an Arrow file cannot hold."""
    fields = [f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in schema]
    return pa.schema(fields, metadata=schema.metadata)


def _digest(paths: list[str]) -> str:
    return hashlib.blake2b(",".join(map(digest_file, paths)).encode(), digest_size=16).hexdigest()


def _arrow_copy(files: list[pq.ParquetFile], schema: pa.Schema, digest: str) -> str:
    path = cache_folder() / "tables" / f"{digest}.arrow"
    if path.exists():
        return str(path)
    part: Path = path.with_name(f".{digest}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with pa.OSFile(str(part), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for batch in _all_batches(files):
                writer.write_table(pa.Table.from_batches([batch]).cast(schema))
        os.replace(part, path)
    except OSError as error:
        raise DataError(
            f"the Arrow copy of this table cannot be written: {error}.",
            where=str(path),
            hint="Set ANYCLIP_CACHE to a folder with space.",
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return str(path)


def _all_batches(files: list[pq.ParquetFile]) -> Iterator[pa.RecordBatch]:
    for file in files:
        yield from file.iter_batches(batch_size=1024)
