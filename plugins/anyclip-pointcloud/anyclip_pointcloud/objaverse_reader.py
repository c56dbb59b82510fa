"""The `objaverse` reader: a JSON listing of objects with point files, as ULIP-2, OpenShape and Uni3D use."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from anyclip.errors import BadSample, DataError
from anyclip.readers import Reader, paths
from anyclip.readers.packed import PackedStrings
from anyclip_pointcloud.layout_options import ObjaverseOptions
from anyclip_pointcloud.objects import read_objects

_TEXTS = ("text", "caption", "captions", "blip_caption", "msft_caption", "retrieval_text", "name")
_IDS = ("id", "uid", "model_id", "object_id")
_PATHS = ("data_path", "path", "file", "points")
_LABELS = ("category", "label", "group")
_IMAGES = ("image", "images", "image_path", "thumbnail")
_OBJECT_KINDS = (b"|O", b"O'", b"object")


class ObjaverseReader(Reader):
    """Columns: `points` (a path; arrays for OpenShape's dictionaries), `text` (captions, alternatives), `label`,
    `image`, `name`; what an entry lacks is missing.

    Captions of OpenShape's point files are read with them. No pickle is run: see `objects`.
    """

    def __init__(self, options: ObjaverseOptions, *, base: str | None = None):
        self.options = options
        self.path = paths.absolute(options.path, base)
        paths.require_file(self.path, "listing")
        self.root = paths.absolute(options.root, base) if options.root else paths.parent(self.path)
        self.texts = tuple(options.texts) if options.texts is not None else _TEXTS
        rows = list(self._rows())
        if not rows:
            raise DataError("the listing holds no object.", where=self.path)
        self._entries = PackedStrings(json.dumps(row) for row in rows)
        self._digest = paths.digest_file(self.path)

    def _rows(self) -> Iterator[dict[str, Any]]:
        """Entries with their id under `id` and their file under `data_path`."""
        for number, (key, entry) in enumerate(self._listing()):
            entry = {"data_path": entry} if isinstance(entry, str) else entry
            if not isinstance(entry, dict):
                raise DataError(f"entry {number} is a {type(entry).__name__}, no object.", where=self.path)
            name = key if key is not None else _first(entry, _IDS)
            file = _first(entry, _PATHS)
            if name is None and file is None:
                raise DataError(f"entry {number} has none of {', '.join((*_IDS, *_PATHS))}.", where=self.path)
            entry = {**entry, "id": str(name if name is not None else file)}
            try:
                yield {**entry, "data_path": file if file is not None else self.options.file.format(**entry)}
            except (KeyError, IndexError, ValueError) as error:
                text = f"file: {self.options.file!r} does not fit entry {number}: {error!r}."
                raise DataError(text, where=self.path) from error

    def _listing(self) -> list[tuple[str | None, Any]]:
        try:
            with open(self.path, encoding="utf-8-sig") as file:
                text = file.read()
            lines = self.path.endswith((".jsonl", ".ndjson"))
            data = [json.loads(line) for line in text.splitlines() if line.strip()] if lines else json.loads(text)
        except (OSError, ValueError) as error:
            raise DataError(f"cannot be read as JSON: {error}.", where=self.path) from error
        if isinstance(data, dict):
            return list(data.items())
        return [(None, entry) for entry in data] if isinstance(data, list) else [(None, data)]

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, row: int) -> Mapping[str, Any]:
        entry = self._entry(row)
        file, found = str(entry["data_path"]), {}
        points: Any = file
        full = self.locate(file)
        if file.endswith(".npy") and os.path.isfile(full) and _holds_objects(full):
            with open(full, "rb") as stream:
                found = read_objects(stream.read(), file)
            parts = {"points": found.get("xyz"), "colors": found.get("rgb")}
            points = {name: np.asarray(part) for name, part in parts.items() if part is not None}
            if "points" not in points:
                raise BadSample(f"{file}: has no xyz but {', '.join(found)}")
        row_values = {"points": points, "name": entry["id"], "text": self._captions(found) or self._captions(entry)}
        row_values |= {"label": _first(entry, _LABELS), "image": _first(entry, _IMAGES)}
        return {name: value for name, value in row_values.items() if value is not None}

    def _entry(self, row: int) -> dict[str, Any]:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        return json.loads(self._entries[row])

    def _captions(self, entry: Mapping[str, Any]) -> list[str] | None:
        """The captions under every key, in the keys' order, each once."""
        found: dict[str, None] = {}
        for key in self.texts:
            value = entry.get(key)
            for text in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(text, str) and text.strip():
                    found[text.strip()] = None
        return list(found) or None

    def columns(self) -> list[str]:
        return ["points", "text", "label", "image", "name"]

    def find(self, column: str, *, modality: str | None = None) -> str | None:
        """A stream of any name finds the points."""
        return super().find(column) or ("points" if modality == "pointcloud" else None)

    def locate(self, value: str) -> str:
        return paths.join(self.root, value)

    def sample_id(self, row: int) -> str:
        """The object's id."""
        return str(self._entry(row)["id"])

    def fingerprint(self) -> str:
        """Digest of the listing and of the options that read it, not of its place."""
        text = f"{self._digest}:{self.options.file}:{self.texts}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _first(entry: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((entry[name] for name in names if entry.get(name) is not None), None)


def _holds_objects(path: str) -> bool:
    with open(path, "rb") as stream:
        head = stream.read(128)
    return any(kind in head for kind in _OBJECT_KINDS)
