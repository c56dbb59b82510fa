"""A text table by byte offsets: only where each record starts and ends is held, its text is read when asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np

from anyclip.errors import BadSample, DataError
from anyclip.readers.files import FilePool
from anyclip.readers.shared import share, unshare
from anyclip.readers.where import Where


class LineTable(ABC):
    """Records of a local text file. A damaged record raises BadSample when it is read, and keeps its row number.

    Args:
        path: a local file.
        name: how messages and sample ids call it.
        where: keeps the rows for which it holds; damaged rows are kept, so that they are counted.

    Raises DataError when the file is empty, is not text, or has no usable row.
    """

    def __init__(self, path: str, *, name: str, where: Where | None = None):
        self.path, self.name = path, name
        self.columns: list[str] = []
        self._files = FilePool(1)
        self._start = self._skip_mark()
        self._index = self._scan(where)

    @abstractmethod
    def _records(self) -> Iterator[tuple[int, int, int, dict[str, Any] | str]]:
        """(first byte, end, line, the row or what is wrong with it) of every record; fills `columns`."""

    @abstractmethod
    def _parse(self, text: str) -> dict[str, Any]:
        """One record. Raises BadSample."""

    def _skip_mark(self) -> int:
        with open(self.path, "rb") as file:
            head = file.read(4)
        if not head:
            raise DataError("is empty.", where=self.name)
        if head.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise DataError(
                "is UTF-16 text.",
                where=self.name,
                hint="Save it as UTF-8.",
                next=f"iconv -f utf-16 -t utf-8 {self.path}",
            )
        return 3 if head.startswith(b"\xef\xbb\xbf") else 0

    def _scan(self, where: Where | None) -> np.ndarray:
        index, usable, total, first_problem = array("q"), 0, 0, None
        for start, end, line, row in self._records():
            total += 1
            if isinstance(row, str):
                first_problem = first_problem or f"{self.name}:{line}: {row}"
            else:
                usable += 1
                if where is not None and not self._keep(where, row, line):
                    continue
            index.extend((start, end, line))
        if not total:
            raise DataError("holds no rows.", where=self.name)
        if not usable:
            raise DataError(f"has no usable row; the first problem: {first_problem}", where=self.name)
        if where is not None:
            where.check(self.columns)
        if not index:
            raise DataError(f"no row is left by where: {where.text}.", where=self.name)  # type: ignore[union-attr]
        return np.frombuffer(index, dtype=np.int64).reshape(-1, 3)  # start, end, line

    def _keep(self, where: Where, row: dict[str, Any], line: int) -> bool:
        try:
            return where(row)
        except TypeError as error:
            raise DataError(f"where: {where.text!r}: {error}.", where=f"{self.name}:{line}") from None

    def __len__(self) -> int:
        return len(self._index)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_index": share(self._index)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._index = unshare(self._index)

    def sample_id(self, row: int) -> str:
        return f"{self.name}:{int(self._index[row, 2])}"

    def row(self, row: int) -> dict[str, Any]:
        """The values of a row. Raises BadSample naming file and line."""
        start, end, _ = self._index[row].tolist()
        try:
            data = self._files.pread(self.path, end - start, start)
            return self._parse(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise BadSample(f"{self.sample_id(row)}: {not_utf8(error)}") from None
        except BadSample as error:
            raise BadSample(f"{self.sample_id(row)}: {error.reason}") from None
        except OSError as error:
            raise BadSample(f"{self.sample_id(row)}: cannot be read: {error}") from None


def not_utf8(error: UnicodeDecodeError) -> str:
    return f"is not UTF-8: byte 0x{error.object[error.start]:02x} at column {error.start + 1}"
