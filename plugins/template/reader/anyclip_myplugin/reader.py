"""myreader: random access to the rows of a source. Values stay undecoded: the towers' processors decode."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from anyclip import BadSample, Reader
from anyclip.errors import DataError

from anyclip_myplugin.options import MyReaderOptions


class MyReader(Reader):
    """A JSON object per file; its keys are the columns. Relative paths in it are taken against the folder."""

    def __init__(self, options: MyReaderOptions, *, base: str | None = None):
        self.path = os.path.join(base or "", options.path)
        if not os.path.isdir(self.path):
            raise DataError("folder not found.", where=self.path)
        self.files = sorted(name for name in os.listdir(self.path) if name.endswith(".json"))
        if not self.files:
            raise DataError("holds no .json file.", where=self.path)
        self.names = sorted({key for row in range(min(len(self), 100)) for key in self[row]})

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> Mapping[str, Any]:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        try:
            with open(os.path.join(self.path, self.files[row]), encoding="utf-8") as file:
                return dict(json.load(file))
        except (OSError, ValueError, TypeError) as error:
            raise BadSample(f"{self.files[row]}: {error}") from error

    def columns(self) -> list[str]:
        return self.names

    def locate(self, value: str) -> str:
        return os.path.join(self.path, value)

    def sample_id(self, row: int) -> str:
        return self.files[row]

    def fingerprint(self) -> str:
        sizes = [(name, os.path.getsize(os.path.join(self.path, name))) for name in self.files]
        return hashlib.blake2b(repr(sizes).encode(), digest_size=16).hexdigest()
