"""Many short strings in two arrays: a few bytes more than their text, and one copy for all loader workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from anyclip.readers.shared import share, unshare


class PackedStrings:
    """A read-only list of strings, UTF-8 in one array; bytes of file names that are not UTF-8 come back unchanged."""

    def __init__(self, strings: Iterable[str]):
        encoded = [text.encode("utf-8", "surrogateescape") for text in strings]
        self._data = np.frombuffer(b"".join(encoded), np.uint8)
        self._ends = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(text) for text in encoded], out=self._ends[1:])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, i: int) -> str:
        start, end = self._ends[i : i + 2].tolist()
        return self._data[start:end].tobytes().decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    def __getstate__(self) -> dict[str, Any]:
        return {"_data": share(self._data), "_ends": share(self._ends)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._data, self._ends = unshare(state["_data"]), unshare(state["_ends"])
