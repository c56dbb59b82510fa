"""What readers of published folders share: their annotation files, the files that are there, rows by number."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from anyclip.errors import BadSample, DataError
from anyclip.readers import paths
from anyclip.readers.base import Reader
from anyclip.readers.csvtable import CsvTable
from anyclip.readers.where import Where

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A row of a layout.

    name: stable, of the row. file: its path inside the dataset's folder. part: what of the file is meant (`start` and
    `end` in seconds), when it is not all. values: the other columns. problem: why the annotation is no row.
    """

    name: str
    file: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""
    part: Mapping[str, Any] | None = None


class LayoutReader(Reader):
    """The rows that a dataset's own annotation files give; one column holds the path of a file.

    Raises DataError when an annotation file, or every file that they name, is not there. A damaged line is a row that
    raises BadSample. absent: the files that are named and not there.

    A subclass sets `column`, `nouns` (`sounds`) and `gives`, and says where the annotations are and how to read them.
    """

    column: ClassVar[str]
    """The column of the files: the name of their modality."""
    nouns: ClassVar[str] = "files"
    """What messages call the files."""
    gives: ClassVar[Sequence[str]]
    """Columns of a row beside `column`."""

    def __init__(self, options: Any, *, base: str | None = None):
        self.options: Any = options
        self.path = paths.absolute(options.path, base)
        if paths.is_url(self.path):
            raise DataError("this layout is read from a local folder only.", where=self.path, hint="Use a manifest.")
        if not os.path.isdir(self.path):
            raise paths.missing_file(self.path, "folder")
        tables = [os.path.join(self.path, table) for table in self.tables()]
        for table in tables:
            paths.require_file(table, "table")
        self.table_name = os.path.basename(tables[0])
        self._digests = [paths.digest_file(table) for table in tables]
        self._rows, self.absent = self._present(list(self.read(tables)))
        if not self._rows:
            raise DataError(f"no row of {self.table_name} is left.", where=self.path)

    @abstractmethod
    def tables(self) -> Sequence[str]:
        """Paths of the annotation files inside the dataset's folder, the most important first."""

    @abstractmethod
    def read(self, tables: Sequence[str]) -> Iterator[Entry]:
        """The rows, in order; `tables` as `tables()` names them, now as absolute paths. Raises DataError."""

    def _present(self, entries: list[Entry]) -> tuple[list[Entry], list[str]]:
        """The rows to use, and the files that are not there."""
        listed: dict[str, set[str]] = {}
        absent: dict[str, None] = {}
        files = {entry.file for entry in entries if not entry.problem}
        for entry in entries:
            folder, _, name = entry.file.rpartition("/")
            if folder not in listed:
                listed[folder] = files_in(os.path.join(self.path, folder))
            if not entry.problem and name not in listed[folder]:
                absent[entry.file] = None
        gone = list(absent)
        if files and len(gone) == len(files):
            raise DataError(
                f"none of the {len(files)} {self.nouns} of {self.table_name} is there; the first: {gone[0]}.",
                where=self.path,
            )
        leave_out = self.options.absent == "leave_out"
        if gone:
            what = "left out" if leave_out else "kept and counted as broken"
            _LOG.warning(
                "%s: %d of %d %s of %s are not there and are %s; the first: %s",
                self.path, len(gone), len(files), self.nouns, self.table_name, what, gone[0],
            )  # fmt: skip
        return [entry for entry in entries if entry.problem or not (leave_out and entry.file in absent)], gone

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> Mapping[str, Any]:
        if not 0 <= row < len(self._rows):
            raise IndexError(f"row {row} of {len(self._rows)}")
        entry = self._rows[row]
        if entry.problem:
            raise BadSample(entry.problem)
        value = entry.file if entry.part is None else {"path": entry.file, **entry.part}
        return {self.column: value, **entry.values}

    def columns(self) -> list[str]:
        return [self.column, *self.gives]

    def locate(self, value: str) -> str:
        return paths.join(self.path, value)

    def sample_id(self, row: int) -> str:
        """The row's own name."""
        return self._rows[row].name

    def fingerprint(self) -> str:
        """Digest of the annotations, of the options that choose among them, and of the rows whose files are there."""
        options = {name: value for name, value in vars(self.options).items() if name != "path"}
        text = json.dumps([self._digests, options, [entry.name for entry in self._rows]], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def first_folder(self, candidates: Sequence[str]) -> str:
        """The first of the folders inside `path` that is there. Raises DataError."""
        for folder in candidates:
            if os.path.isdir(os.path.join(self.path, folder)):
                return folder
        raise DataError(f"no folder of {self.nouns}: wanted {' or '.join(candidates)}.", where=self.path)


class TableLayoutReader(LayoutReader):
    """A layout whose annotations are one CSV file with a header. Its options have `where`.

    Raises DataError when a column of `needs` is not there; a line that lacks a cell of these raises BadSample.
    """

    needs: ClassVar[Sequence[str]]
    """Columns that the table must have."""

    @abstractmethod
    def table(self) -> str:
        """Path of the table inside the dataset's folder."""

    def tables(self) -> Sequence[str]:
        return [self.table()]

    @abstractmethod
    def entries(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Entry]:
        """The table's rows (column -> text or None) -> the rows of the reader, in order."""

    def read(self, tables: Sequence[str]) -> Iterator[Entry]:
        where = Where(self.options.where, where=self.table_name) if self.options.where else None
        cells = CsvTable(tables[0], name=self.table_name, where=where)
        lacking = [name for name in self.needs if name not in cells.columns]
        if lacking:
            raise DataError(
                f"has no column {', '.join(lacking)}.", where=tables[0], hint=f"There: {', '.join(cells.columns)}."
            )
        good = []
        for row in range(len(cells)):
            try:
                values = cells.row(row)
                empty = [name for name in self.needs if values[name] is None]
                if empty:
                    raise BadSample(f"{cells.sample_id(row)}: {', '.join(empty)} is empty")
                good.append(values)
            except BadSample as error:
                yield Entry(cells.sample_id(row), problem=error.reason)
        yield from self.entries(good)


def files_in(folder: str) -> set[str]:
    """Names in a folder; none where it is not there."""
    return set(os.listdir(folder)) if os.path.isdir(folder) else set()
