"""The `folder` reader: a folder per class."""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from anyclip.errors import BadSample, DataError
from anyclip.readers import paths
from anyclip.readers.base import Reader
from anyclip.readers.options import FolderOptions
from anyclip.readers.packed import PackedStrings
from anyclip.registry import get_registry

_LOG = logging.getLogger(__name__)


class FolderReader(Reader):
    """Files of `path/<class>/...`, sorted by name. Columns: `file`, `label` (the class), and the file's modality.

    A file belongs to the modality that claims its suffix. Hidden files, files outside a class folder and suffixes
    that nobody claims are left out.

    ignored: suffix (or `hidden`, `outside a class`) -> how many files were left out; logged once.
    classes: the class names, sorted.
    """

    def __init__(self, options: FolderOptions, *, base: str | None = None):
        self.options = options
        self.path = paths.absolute(options.path, base)
        if paths.is_url(self.path):
            raise DataError("the folder reader reads local folders only.", where=self.path, hint="Use a manifest.")
        if not os.path.isdir(self.path):
            raise paths.missing_file(self.path, "folder")
        self._modality_of: dict[str, str | None] = {}
        self.ignored: Counter[str] = Counter()
        rows = list(self._walk())
        if not rows:
            raise self._nothing()
        self.classes = sorted({file.split("/", 1)[0] for file, _ in rows})
        self._modalities = sorted({modality for _, modality in rows})
        self._files = PackedStrings(file for file, _ in rows)
        self._kinds = np.array([self._modalities.index(modality) for _, modality in rows], np.uint8)
        self._texts = {m for m in self._modalities if get_registry().modality(m).string_is_value}
        if self.ignored:
            counts = ", ".join(f"{count} {what}" for what, count in self.ignored.most_common(8))
            _LOG.info("%s: %d files are used, ignored: %s", self.path, len(rows), counts)

    def _walk(self) -> Iterator[tuple[str, str]]:
        """(path relative to the folder, modality) of every file that is used."""
        with os.scandir(self.path) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
        for entry in ordered:
            if entry.name.startswith("."):
                self.ignored["hidden"] += 1
            elif not entry.is_dir():
                self.ignored["outside a class"] += 1
            else:
                yield from self._walk_class(entry.name, (os.path.realpath(self.path),))

    def _walk_class(self, inside: str, above: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        full = os.path.join(self.path, inside)
        real = os.path.realpath(full)
        if real in above:  # a link to a folder above would never end
            self.ignored["link to a folder above"] += 1
            return
        with os.scandir(full) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
        for entry in ordered:
            if entry.name.startswith("."):
                self.ignored["hidden"] += 1
            elif entry.is_dir():
                yield from self._walk_class(f"{inside}/{entry.name}", (*above, real))
            elif modality := self._modality(entry.name):
                yield f"{inside}/{entry.name}", modality
            else:
                self.ignored[os.path.splitext(entry.name)[1].lower() or "without a suffix"] += 1

    def _modality(self, name: str) -> str | None:
        """The modality that claims a file's suffix; the longest suffix wins (`.toy.npy` before `.npy`)."""
        parts = name.lower().split(".")[1:]
        for start in range(len(parts)):
            suffix = "." + ".".join(parts[start:])
            if suffix not in self._modality_of:
                self._modality_of[suffix] = self._claim(suffix)
            if self._modality_of[suffix]:
                return self._modality_of[suffix]
        return None

    def _claim(self, suffix: str) -> str | None:
        wanted = self.options.modality
        if wanted is not None:
            return wanted if suffix in get_registry().modality(wanted).suffixes else None
        names = [spec.name for spec in get_registry().modalities_of_suffix(suffix)]
        if len(names) > 1:
            raise DataError(
                f"the suffix {suffix} may be {' or '.join(names)}.",
                where=self.path,
                hint=f"Set the option `modality: {names[0]}`.",
            )
        return names[0] if names else None

    def _nothing(self) -> DataError:
        found = ", ".join(f"{count} {what}" for what, count in self.ignored.most_common(8)) or "nothing"
        if self.options.modality:
            known = f"files of {self.options.modality}"
        else:
            known = "files of " + (", ".join(get_registry().names("modality")) or "any modality: none is installed")
        return DataError(
            f"no file to read. Wanted: a folder per class with {known}; found: {found}.",
            where=self.path,
            next="anyclip plugins",
        )

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, row: int) -> Mapping[str, Any]:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        file, modality = self._files[row], self._modalities[int(self._kinds[row])]
        value = self._text(file) if modality in self._texts else file
        return {"file": file, "label": file.split("/", 1)[0], modality: value}

    def _text(self, file: str) -> str:
        """The content of a file of a modality whose values are strings."""
        try:
            with open(self.locate(file), encoding="utf-8-sig") as opened:
                return opened.read()
        except (OSError, UnicodeDecodeError) as error:
            raise BadSample(f"{file}: cannot be read: {error}") from error

    def columns(self) -> list[str]:
        return ["file", "label", *self._modalities]

    def find(self, column: str, *, modality: str | None = None) -> str | None:
        """A stream of any name finds the files of its modality."""
        return super().find(column) or (modality if modality in self._modalities else None)

    def locate(self, value: str) -> str:
        return os.path.join(self.path, value)

    def sample_id(self, row: int) -> str:
        """`cat/0001.png`."""
        return self._files[row]

    def fingerprint(self) -> str:
        """Digest of every file's name and size: the same for a copied folder, made without reading the files."""
        digest = hashlib.blake2b(digest_size=16)
        for file in self._files:
            size = os.path.getsize(self.locate(file))
            digest.update(f"{file}\0{size}\0".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()
