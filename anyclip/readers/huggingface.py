"""The `huggingface` reader: a folder of `save_to_disk`, or Parquet files. Local only; nothing is decoded."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from anyclip.errors import DataError, did_you_mean
from anyclip.readers import paths
from anyclip.readers.arrow import ArrowTable
from anyclip.readers.base import Reader
from anyclip.readers.disk import DiskTable
from anyclip.readers.options import HuggingFaceOptions
from anyclip.readers.values import undecoded
from anyclip.readers.where import Where

_SPLIT = re.compile(r"^([A-Za-z]\w*?)(?:-\d+-of-\d+.*)?\.parquet$")


class HuggingFaceReader(Reader):
    """Rows of a `datasets` folder or of Parquet files, as they are stored.

    Images and sound come as `Blob` (their bytes and name) or as the path that was stored; a class label comes as its
    name. A folder of `save_to_disk` needs the `datasets` package, Parquet files do not.
    """

    def __init__(self, options: HuggingFaceOptions, *, base: str | None = None):
        self.options = options
        self.path = paths.absolute(options.path, base)
        name = os.path.basename(self.path.rstrip("/"))
        where = Where(options.where, where=name) if options.where else None
        self._table: ArrowTable | DiskTable
        if os.path.isfile(os.path.join(self.path, "dataset_dict.json")):
            self._table = DiskTable(self._disk_split(), name=name, where=where)
        elif os.path.isfile(os.path.join(self.path, "state.json")):
            self._no_splits()
            self._table = DiskTable(self.path, name=name, where=where)
        else:
            self._table = ArrowTable(self._parquet_files(), name=name, where=where)
        self._classes = _class_names(self._table.schema.metadata)
        self._last: tuple[int, Mapping[str, Any]] | None = None

    def _no_splits(self) -> None:
        if self.options.split is not None:
            raise DataError(f"holds one dataset, without splits; `split: {self.options.split}`.", where=self.path)

    def _disk_split(self) -> str:
        with open(os.path.join(self.path, "dataset_dict.json"), encoding="utf-8") as file:
            splits = json.load(file)["splits"]
        return os.path.join(self.path, self._choose(splits))

    def _choose(self, splits: list[str]) -> str:
        """The split that is asked for, or the only one."""
        wanted = self.options.split
        if wanted is None and len(splits) == 1:
            return splits[0]
        if wanted in splits:
            return wanted
        if wanted is None:
            raise DataError(f"holds several splits; set `split` to one of: {', '.join(splits)}.", where=self.path)
        raise DataError(f"has no split {wanted!r}.", where=self.path, hint=did_you_mean(wanted, splits, noun="Splits"))

    def _parquet_files(self) -> list[str]:
        """The files of the path and split, sorted. `train-00000-of-00004.parquet` and `train.parquet` are `train`."""
        if os.path.isfile(self.path):
            self._no_splits()
            return [self.path]
        if os.path.isdir(self.path):
            found = sorted(glob.glob(os.path.join(glob.escape(self.path), "**", "*.parquet"), recursive=True))
        else:
            found = sorted(glob.glob(self.path, recursive=True))
        if not found:
            raise self._nothing()
        splits: dict[str, list[str]] = {}
        for path in found:
            match = _SPLIT.match(os.path.basename(path))
            splits.setdefault(match[1] if match else "", []).append(path)
        numbered = any("-of-" in os.path.basename(path) for path in found)
        if self.options.split is None and not numbered:
            return found
        return splits[self._choose(list(splits))]

    def _nothing(self) -> DataError:
        if os.path.isdir(self.path):
            return DataError("holds no `datasets` folder and no Parquet file.", where=self.path)
        return DataError(
            "not found. This reader opens local data only, never a hub name.",
            where=self.options.path,
            next=f"python -c \"import datasets; datasets.load_dataset('{self.options.path}').save_to_disk('data')\"",
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, row: int) -> Mapping[str, Any]:
        last = self._last
        if last is not None and last[0] == row:
            return last[1]
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        values = {name: self._plain(name, value) for name, value in self._table.row(row).items()}
        self._last = (row, values)
        return values

    def _plain(self, name: str, value: Any) -> Any:
        names = self._classes.get(name)
        if names is not None and isinstance(value, int):
            return names[value] if 0 <= value < len(names) else None  # -1 stands for an unknown label
        return undecoded(value, name)

    def columns(self) -> list[str]:
        return list(self._table.columns)

    def locate(self, value: str) -> str:
        folder = self.path if os.path.isdir(self.path) else os.path.dirname(self.path)
        return paths.join(folder, value)

    def sample_id(self, row: int) -> str:
        return self._table.sample_id(row)

    def fingerprint(self) -> str:
        """Digest of the stored tables and of the filter, not of their place."""
        return hashlib.blake2b(f"{self._table.digest}:{self.options.where}".encode(), digest_size=16).hexdigest()


def _class_names(metadata: Mapping[bytes, bytes] | None) -> dict[str, list[str]]:
    """Column -> class names, from the `huggingface` entry that `datasets` writes into a schema."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):  # a plain Parquet file
        return {}
    found = {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    return {name: f["names"] for name, f in found.items() if f.get("_type") == "ClassLabel" and f.get("names")}
