"""What the readers of published 3D data sets share: rows of a folder, their classes, clouds inside h5 files."""

from __future__ import annotations

import hashlib
import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from anyclip.errors import BadSample, DataError, did_you_mean
from anyclip.readers import Reader, paths
from anyclip.readers.packed import PackedStrings
from anyclip_pointcloud.layout_options import LayoutOptions


class Entry(NamedTuple):
    """One object. place: its file relative to the folder, `FILE#ROW` inside an h5 file."""

    name: str
    label: str
    place: str


class LayoutReader(Reader):
    """Columns: `points` (a path, or arrays), `label` (the class name), `name` (the publishers' id).

    Streams of the modality find `points` by any name. Subclasses say what the folder holds.
    """

    def __init__(self, options: LayoutOptions, *, base: str | None = None):
        self.options = options
        self.path = paths.absolute(options.path, base)
        if not os.path.isdir(self.path):
            raise paths.missing_file(self.path, "folder")
        entries = list(self.entries())
        self.classes = sorted({entry.label for entry in entries})
        if options.categories is not None:
            unknown = [name for name in options.categories if name not in self.classes]
            if unknown:
                hint = did_you_mean(unknown[0], self.classes, noun="Classes")
                raise DataError(f"there is no class {unknown[0]!r}.", where=self.path, hint=hint)
            entries = [entry for entry in entries if entry.label in options.categories]
            self.classes = sorted(options.categories)
        if not entries:
            raise self.wrong(f"no object of split {options.split!r}")
        self._names = PackedStrings(entry.name for entry in entries)
        self._places = PackedStrings(entry.place for entry in entries)
        number = {name: i for i, name in enumerate(self.classes)}
        self._labels = np.array([number[entry.label] for entry in entries], np.int32)

    @abstractmethod
    def entries(self) -> Iterator[Entry]:
        """The objects of the split, in a fixed order. Raises DataError, best by `wrong`."""

    @abstractmethod
    def wanted(self) -> str:
        """What the folder should hold, for errors."""

    def wrong(self, found: str) -> DataError:
        """A DataError that says what was looked for."""
        return DataError(f"{found}. Wanted: {self.wanted()}.", where=self.path)

    def file(self, *names: str) -> str | None:
        """The first of some files, relative to the folder, that is there."""
        return next((name for name in names if os.path.isfile(os.path.join(self.path, name))), None)

    def lines(self, name: str) -> list[str]:
        """The lines of a list that are not empty. Raises DataError."""
        try:
            with open(os.path.join(self.path, name), encoding="utf-8") as text:
                return [line.strip() for line in text if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"cannot be read: {error}.", where=os.path.join(self.path, name)) from error

    def h5_labels(self, name: str) -> np.ndarray:
        """The class numbers of an h5 file, int [M]. Raises DataError."""
        import h5py

        where = os.path.join(self.path, name)
        try:
            with h5py.File(where, "r") as data:
                return np.asarray(data["label"]).reshape(-1).astype(np.int64)  # type: ignore[index]
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise DataError(f"not an h5 file with `data` and `label`: {error}.", where=where) from error

    def h5_entries(self, name: str, classes: list[str]) -> Iterator[Entry]:
        """The clouds of an h5 file. Raises DataError for a class number that has no name."""
        labels = self.h5_labels(name)
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
            where = os.path.join(self.path, name)
            raise DataError(f"has class {labels.max()}, {len(classes)} classes have names.", where=where)
        for row, label in enumerate(labels):
            yield Entry(f"{name}#{row}", classes[label], f"{name}#{row}")

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, row: int) -> Mapping[str, Any]:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        points = self._points(self._places[row])
        return {"points": points, "label": self.classes[int(self._labels[row])], "name": self._names[row]}

    def _points(self, place: str) -> Any:
        name, _, row = place.rpartition("#")
        if not name.endswith((".h5", ".hdf5")):
            return place
        import h5py

        try:
            with h5py.File(os.path.join(self.path, name), "r") as data:
                found = {"points": data["data"][int(row)]}  # type: ignore[index]
                if "normal" in data:
                    found["normals"] = data["normal"][int(row)]  # type: ignore[index]
                return found
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise BadSample(f"{place}: {error}") from error

    def columns(self) -> list[str]:
        return ["points", "label", "name"]

    def find(self, column: str, *, modality: str | None = None) -> str | None:
        """A stream of any name finds the points."""
        return super().find(column) or ("points" if modality == "pointcloud" else None)

    def locate(self, value: str) -> str:
        return os.path.join(self.path, value)

    def sample_id(self, row: int) -> str:
        """The publishers' id, or file and row."""
        return self._names[row]

    def fingerprint(self) -> str:
        """Digest of every object's name, class and file size: the same for a copied folder."""
        digest = hashlib.blake2b(digest_size=16)
        sizes: dict[str, int] = {}
        for name, place, label in zip(self._names, self._places, self._labels):
            file = place.rpartition("#")[0] or place
            if file not in sizes:
                full = os.path.join(self.path, file)
                sizes[file] = os.path.getsize(full) if os.path.isfile(full) else -1
            digest.update(f"{name}\0{self.classes[label]}\0{sizes[file]}\0".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()
