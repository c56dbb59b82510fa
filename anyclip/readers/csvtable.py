"""CSV and TSV tables: a header line, quoted cells that may hold commas and line breaks."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator
from typing import Any

from anyclip.errors import BadSample, DataError
from anyclip.readers.lines import LineTable, not_utf8
from anyclip.readers.where import Where

CELL_LIMIT = 1 << 30
"""Characters in one cell; the csv module's own limit of 131,072 is shorter than a long document."""


class CsvTable(LineTable):
    """A row per record. Every cell is text; an empty cell is a missing value.

    Args:
        separator: between cells: `,` or a tab.
        list_separator: a cell that holds this is a list of alternatives.

    Raises DataError for two columns of one name, a header that is not UTF-8, and a quote that is never closed.
    """

    def __init__(
        self,
        path: str,
        *,
        name: str,
        where: Where | None = None,
        separator: str = ",",
        list_separator: str | None = None,
    ):
        self.separator, self.list_separator = separator, list_separator
        super().__init__(path, name=name, where=where)

    def _records(self) -> Iterator[tuple[int, int, int, dict[str, Any] | str]]:
        with open(self.path, "rb") as file, _long_cells():
            end, lines = file.seek(self._start), 0

            def feed() -> Iterator[str]:
                nonlocal end, lines
                for data in file:
                    end, lines = end + len(data), lines + 1
                    yield data.decode("utf-8", "surrogateescape")

            records = csv.reader(feed(), delimiter=self.separator, strict=True)
            while True:
                start, line = end, lines + 1
                try:
                    cells: list[str] | str = next(records)
                except StopIteration:
                    return
                except csv.Error as error:
                    if str(error) == "unexpected end of data":
                        raise DataError(
                            'a quote (") is opened and never closed.', where=f"{self.name}:{line}"
                        ) from None
                    cells = f"is not valid CSV: {error}"
                if not cells or (len(cells) == 1 and not cells[0].strip()):
                    continue
                if not self.columns:
                    self._header(cells, line)
                else:
                    yield start, end, line, self._try(cells)

    def _header(self, cells: list[str] | str, line: int) -> None:
        where = f"{self.name}:{line}"
        if isinstance(cells, str):
            raise DataError(f"the header {cells}.", where=where)
        names = [cell.strip() for cell in cells]
        if any(_surrogates(name) for name in names):
            raise DataError("the header is not UTF-8.", where=where)
        for name in names:
            if names.count(name) > 1:
                places = [str(i + 1) for i, other in enumerate(names) if other == name]
                raise DataError(f"two columns are named {name!r} (columns {' and '.join(places)}).", where=where)
        self.columns = names

    def _try(self, cells: list[str] | str) -> dict[str, Any] | str:
        if isinstance(cells, str):
            return cells
        for cell in cells:
            if not cell.isascii() and _surrogates(cell):
                try:
                    cell.encode("utf-8", "surrogateescape").decode("utf-8")
                except UnicodeDecodeError as error:
                    return not_utf8(error)
        try:
            return self._named(cells)
        except BadSample as error:
            return error.reason

    def _parse(self, text: str) -> dict[str, Any]:
        with _long_cells():
            try:
                return self._named(
                    next(csv.reader(io.StringIO(text, newline=""), delimiter=self.separator, strict=True))
                )
            except csv.Error as error:
                raise BadSample(f"is not valid CSV: {error}") from None

    def _named(self, cells: list[str]) -> dict[str, Any]:
        if len(cells) != len(self.columns):
            raise BadSample(f"has {len(cells)} cells, the header names {len(self.columns)} columns")
        return {name: self._cell(cell) for name, cell in zip(self.columns, cells)}

    def _cell(self, cell: str) -> str | list[str] | None:
        if self.list_separator and self.list_separator in cell:
            return [part.strip() for part in cell.split(self.list_separator) if part.strip()]
        return cell or None


def _surrogates(text: str) -> bool:
    return any("\ud800" <= sign <= "\udfff" for sign in text)


@contextlib.contextmanager
def _long_cells() -> Iterator[None]:
    before = csv.field_size_limit(CELL_LIMIT)
    try:
        yield
    finally:
        csv.field_size_limit(before)
