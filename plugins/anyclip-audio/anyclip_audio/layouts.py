"""What the layouts of sounds share; see `anyclip.readers.layouts`."""

from __future__ import annotations

from typing import ClassVar

from anyclip.readers.layouts import Entry, TableLayoutReader, files_in

__all__ = ["Entry", "LayoutReader", "files_in"]


class LayoutReader(TableLayoutReader):
    """The rows of a dataset's own table; the column `audio` is the path of the sound."""

    column: ClassVar[str] = "audio"
    nouns: ClassVar[str] = "sounds"
