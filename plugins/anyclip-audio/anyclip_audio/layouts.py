"""What readers of published datasets' folders share: their table, the files that are there, rows by number."""

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
from anyclip.readers import Reader, paths
from anyclip.readers.csvtable import CsvTable
from anyclip.readers.where import Where
from anyclip_audio.layouts_options import LayoutOptions

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A sound of the table. file: its path inside the dataset's folder; problem: why the table's line is no row."""

    name: str
    file: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


class LayoutReader(Reader):
    """The rows of a dataset's own table; the column `audio` is the path of the sound.

    Raises DataError when the table, a column of it or every sound is not there. A damaged line of the table is a row
    that raises BadSample. absent: the files that the table names and that are not there.
    """

    needs: ClassVar[Sequence[str]]
    """Columns that the table must have."""
    gives: ClassVar[Sequence[str]]
    """Columns of a row beside `audio`."""

    def __init__(self, options: Any, *, base: str | None = None):
        self.options: Any = options
        self.path = paths.absolute(options.path, base)
        if paths.is_url(self.path):
            raise DataError("this layout is read from a local folder only.", where=self.path, hint="Use a manifest.")
        if not os.path.isdir(self.path):
            raise paths.missing_file(self.path, "folder")
        table = os.path.join(self.path, self.table())
        paths.require_file(table, "table")
        self.table_name = os.path.basename(table)
        self._digest = paths.digest_file(table)
        self._rows, self.absent = self._present(list(self._read(table)))
        if not self._rows:
            raise DataError(f"no row of {self.table_name} is left.", where=self.path)

    @abstractmethod
    def table(self) -> str:
        """Path of the table inside the dataset's folder."""

    @abstractmethod
    def entries(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Entry]:
        """The table's rows (column -> text or None) -> the sounds, in order."""

    def _read(self, table: str) -> Iterator[Entry]:
        options: LayoutOptions = self.options
        where = Where(options.where, where=self.table_name) if options.where else None
        cells = CsvTable(table, name=self.table_name, where=where)
        lacking = [name for name in self.needs if name not in cells.columns]
        if lacking:
            raise DataError(
                f"has no column {', '.join(lacking)}.", where=table, hint=f"There: {', '.join(cells.columns)}."
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

    def _present(self, entries: list[Entry]) -> tuple[list[Entry], list[str]]:
        """The rows to use, and the files that are not there."""
        listed: dict[str, set[str]] = {}
        absent = []
        for entry in entries:
            folder, _, name = entry.file.rpartition("/")
            if folder not in listed:
                listed[folder] = files_in(os.path.join(self.path, folder))
            if not entry.problem and name not in listed[folder]:
                absent.append(entry.file)
        sounds = sum(not entry.problem for entry in entries)
        if sounds and len(absent) == sounds:
            raise DataError(
                f"none of the {sounds} sounds of {self.table_name} is there; the first: {absent[0]}.", where=self.path
            )
        if absent:
            what = "left out" if self.options.absent == "leave_out" else "kept and counted as broken"
            _LOG.warning(
                "%s: %d of %d sounds of %s are not there and are %s; the first: %s",
                self.path, len(absent), sounds, self.table_name, what, absent[0],
            )  # fmt: skip
        gone = set(absent) if self.options.absent == "leave_out" else set()
        return [entry for entry in entries if entry.problem or entry.file not in gone], absent

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> Mapping[str, Any]:
        if not 0 <= row < len(self._rows):
            raise IndexError(f"row {row} of {len(self._rows)}")
        entry = self._rows[row]
        if entry.problem:
            raise BadSample(entry.problem)
        return {"audio": entry.file, **entry.values}

    def columns(self) -> list[str]:
        return ["audio", *self.gives]

    def locate(self, value: str) -> str:
        return paths.join(self.path, value)

    def sample_id(self, row: int) -> str:
        """The sound's own name."""
        return self._rows[row].name

    def fingerprint(self) -> str:
        """Digest of the table, of the options that choose among its rows, and of the sounds that are there."""
        options = {name: value for name, value in vars(self.options).items() if name != "path"}
        text = json.dumps([self._digest, options, [entry.name for entry in self._rows]], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def first_folder(self, candidates: Sequence[str]) -> str:
        """The first of the folders inside `path` that is there. Raises DataError."""
        for folder in candidates:
            if os.path.isdir(os.path.join(self.path, folder)):
                return folder
        raise DataError(f"no folder of sounds: wanted {' or '.join(candidates)}.", where=self.path)


def files_in(folder: str) -> set[str]:
    """Names in a folder; none where it is not there."""
    return set(os.listdir(folder)) if os.path.isdir(folder) else set()
