"""The `msvd` reader: the Microsoft video description corpus (Chen and Dolan 2011) with the usual split."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

from anyclip.errors import DataError
from anyclip.readers.layouts import Entry
from anyclip_video.layouts import VideoLayout

LINES, PICKLED = "AllVideoDescriptions.txt", "raw-captions.pkl"


class MsvdReader(VideoLayout):
    """A list of video names a split; lines of `NAME caption` (with `#` comments), or a pickled {name: [[word, ...]]},
    of which only strings, lists and mappings are read."""

    def tables(self) -> Sequence[str]:
        whole = os.path.exists(os.path.join(self.path, LINES))
        return [f"{self.options.split}_list.txt", LINES if whole else PICKLED]

    def read(self, tables: Sequence[str]) -> Iterator[Entry]:
        files = self.files()
        captions = _from_lines(tables[1]) if tables[1].endswith(".txt") else _from_pickle(tables[1])
        with open(tables[0], encoding="utf-8") as file:
            names = [line.strip() for line in file if line.strip()]
        for name in names:
            yield from self.rows(name, files.get(name, f"{name}.avi"), captions.get(name, []))


def _from_lines(path: str) -> dict[str, list[str]]:
    captions: dict[str, list[str]] = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            name, _, caption = line.strip().partition(" ")
            if name and not name.startswith("#"):
                captions.setdefault(name, []).append(caption)
    return captions


class _PlainUnpickler(pickle.Unpickler):
    """Builds strings, numbers, lists and mappings; anything that a pickle would import is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _from_pickle(path: str) -> dict[str, list[str]]:
    try:
        with open(path, "rb") as file:
            content = _PlainUnpickler(file, encoding="utf-8").load()
        return {name: [" ".join(words) for words in found] for name, found in content.items()}
    except (pickle.UnpicklingError, EOFError, AttributeError, TypeError, ValueError) as error:
        raise DataError(f"is not a plain pickle of captions: {error}.", where=path) from None
