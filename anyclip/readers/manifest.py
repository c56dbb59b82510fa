"""The `manifest` reader: a CSV, TSV, JSONL or Parquet table, a row per sample."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

from anyclip.errors import DataError
from anyclip.readers import paths
from anyclip.readers.base import Reader
from anyclip.readers.options import ManifestOptions
from anyclip.readers.values import undecoded
from anyclip.readers.where import Where

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


class ManifestReader(Reader):
    """Rows of a table; a cell is a path (relative to the table's folder), a value, or a list of alternatives.

    What is wrong with the file as a whole raises DataError when it is opened; what is wrong with one row (a line that
    is not UTF-8, broken JSON, a wrong number of cells) raises BadSample `file:line: reason` when that row is read.
    """

    def __init__(self, options: ManifestOptions, *, base: str | None = None):
        self.options = options
        self.path = paths.absolute(options.path, base)
        self.root = paths.absolute(options.root, base) if options.root else paths.parent(self.path)
        local = self.path
        if paths.is_url(local):
            local = paths.fetch(local, paths.cache_folder())
        paths.require_file(local, "manifest")
        self.name = os.path.basename(self.path)
        where = Where(options.where, where=self.name) if options.where else None
        self._table = _open_table(options, local, self.name, where)
        self._digest = paths.digest_file(local)
        self._last: tuple[int, Mapping[str, Any]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, row: int) -> Mapping[str, Any]:
        last = self._last
        if last is not None and last[0] == row:
            return last[1]
        if not 0 <= row < len(self._table):
            raise IndexError(f"row {row} of {len(self._table)}")
        values = {name: undecoded(value, name) for name, value in self._table.row(row).items()}
        self._last = (row, values)  # the streams of a row are asked for one after the other
        return values

    def columns(self) -> list[str]:
        return list(self._table.columns)

    def sample_id(self, row: int) -> str:
        """`train.jsonl:12`: file and line (in Parquet the row, counted from 1)."""
        return self._table.sample_id(row)

    def locate(self, value: str) -> str:
        """A path of the table -> an absolute path or URL; relative ones are taken against the table's folder."""
        return paths.join(self.root, value)

    def fingerprint(self) -> str:
        """Digest of the table's content and of the options that choose and split its rows, not of its place."""
        o = self.options
        text = f"{self._digest}:{o.where}:{o.list_separator}:{o.format}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _open_table(options: ManifestOptions, path: str, name: str, where: Where | None) -> Any:
    suffix = os.path.splitext(name)[1].lower()
    kind = options.format or SUFFIXES.get(suffix)
    if kind == "jsonl":
        from anyclip.readers.jsonl import JsonlTable

        return JsonlTable(path, name=name, where=where)
    if kind in ("csv", "tsv"):
        from anyclip.readers.csvtable import CsvTable

        separator = "," if kind == "csv" else "\t"
        return CsvTable(path, name=name, where=where, separator=separator, list_separator=options.list_separator)
    if kind == "parquet":
        from anyclip.readers.arrow import ArrowTable  # pyarrow takes 0.2 s to import

        return ArrowTable([path], name=name, where=where)
    raise DataError(
        f"the suffix {suffix!r} says no format.",
        where=options.path,
        hint=f"Known: {', '.join(SUFFIXES)}; or set `format`.",
    )
