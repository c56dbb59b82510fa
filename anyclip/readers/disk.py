"""A folder of `datasets.Dataset.save_to_disk`, row by row, without decoding."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np
import pyarrow as pa

from anyclip.errors import DataError, UserError
from anyclip.readers.paths import digest_file
from anyclip.readers.where import Where

_BATCH = 1000


class DiskTable:
    """Rows of one dataset on disk (memory-mapped by `datasets`, which also follows its row selection).

    Rows are taken in the Arrow format, so that no feature decodes anything: an image stays `{"bytes", "path"}`.
    Raises UserError when `datasets` is not installed, DataError when the folder cannot be opened.
    """

    def __init__(self, path: str, *, name: str, where: Where | None = None):
        try:
            import datasets
        except ImportError as error:
            raise UserError(
                f"a folder of save_to_disk needs the package datasets ({error}).",
                where=path,
                hint="Parquet files are read without it.",
                next="pip install 'anyclip[huggingface]'",
            ) from error
        try:
            opened = datasets.load_from_disk(path)
        except Exception as error:  # damaged Arrow files raise many kinds
            raise DataError(f"is not a readable `datasets` folder: {error}", where=path) from error
        self.name = name
        self._data: Any = opened.with_format("arrow")
        self.schema: pa.Schema = opened.features.arrow_schema
        self.digest = self._digest(path)
        self._rows = self._filter(where) if where is not None else None
        if not len(self):
            raise DataError(
                "holds no rows." if where is None else f"no row is left by where: {where.text}.", where=name
            )

    @property
    def columns(self) -> list[str]:
        return list(self.schema.names)

    @staticmethod
    def _digest(path: str) -> str:
        files = sorted(name for name in os.listdir(path) if name.endswith(".arrow"))
        digests = ",".join(f"{name}:{digest_file(os.path.join(path, name))}" for name in files)
        return hashlib.blake2b(digests.encode(), digest_size=16).hexdigest()

    def _filter(self, where: Where) -> np.ndarray:
        where.check(self.columns)
        narrow = self._data.select_columns(where.columns) if where.columns else self._data
        kept = []
        for start in range(0, len(narrow), _BATCH):
            for row, values in enumerate(narrow[start : start + _BATCH].to_pylist(), start):
                try:
                    if where(values):
                        kept.append(row)
                except TypeError as error:
                    raise DataError(f"where: {where.text!r}: {error}.", where=f"{self.name}, row {row + 1}") from None
        return np.array(kept, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._data) if self._rows is None else len(self._rows)

    def _at(self, row: int) -> int:
        return row if self._rows is None else int(self._rows[row])

    def row(self, row: int) -> dict[str, Any]:
        """The stored values of a row as Python objects."""
        return self._data[self._at(row)].to_pylist()[0]

    def sample_id(self, row: int) -> str:
        """`name:12`, the row counted from 1."""
        return f"{self.name}:{self._at(row) + 1}"
