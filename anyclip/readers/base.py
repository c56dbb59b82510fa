"""The interface of a reader: map-style random access to undecoded samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anyclip.registry import get_registry


@dataclass(frozen=True)
class Blob:
    """Undecoded bytes with the name they had (`0001.png` of a shard), so that a decoder can see the suffix."""

    data: bytes
    name: str


class Reader(ABC):
    """Undecoded samples by row number; picklable, cheap to copy into loader workers.

    A row is a mapping from column to value: a string (a path, or the value itself: the modality knows), bytes as
    `Blob`, a number, an array, a list of alternatives (several captions). A column that is absent or None is a
    missing value. Constructors take one options dataclass and raise DataError for what cannot be read at all.
    """

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, row: int) -> Mapping[str, Any]:
        """The row's values. A damaged row raises BadSample with the reason."""

    @abstractmethod
    def columns(self) -> list[str]:
        """Every column name that a row may have."""

    def find(self, column: str, *, modality: str | None = None) -> str | None:
        """The column that `value(row, column, modality=...)` would read, or None when there is none.

        More than `column in columns()`: the synthetic reader renders any name, the tar and folder readers find a
        stream's column by the suffixes of its modality.
        """
        return column if column in self.columns() else None

    @abstractmethod
    def fingerprint(self) -> str:
        """Digest of what the reader would return; a resumed run refuses changed data."""

    def sample_id(self, row: int) -> str:
        """A stable name of the row: `train.jsonl:12`, `shard-0001.tar/0007`."""
        return f"{type(self).__name__}:{row}"

    def locate(self, value: str) -> str:
        """A path string found in a row -> a path or URL that can be opened (relative to the manifest's folder)."""
        return value

    def value(self, row: int, column: str, *, modality: str | None = None) -> Any:
        """One value of a row; readers that render (synthetic) need the modality of the asking stream."""
        return self[row].get(column)


def create_reader(name: str, options: dict[str, Any] | None = None, *, base: str | None = None) -> Reader:
    """Build a registered reader. `base`: folder against which a relative `path` option is taken (the config's)."""
    registry = get_registry()
    built = registry.build_options("reader", name, options)
    cls = registry.load("reader", name)
    return cls(built, base=base)
