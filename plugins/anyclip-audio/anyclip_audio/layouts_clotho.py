"""The `clotho` reader: the folder of Clotho (Drossos et al. 2020), sounds of 15 to 30 s with five captions each."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from anyclip_audio.layouts import Entry, LayoutReader, files_in

CAPTIONS = tuple(f"caption_{i}" for i in range(1, 6))


class ClothoReader(LayoutReader):
    """`clotho_captions_SPLIT.csv` (file_name, caption_1 to caption_5) and the unpacked sounds of that split.

    Names are compared after Unicode normalisation and without outer spaces, where archives and tables differ.
    """

    needs: ClassVar[Sequence[str]] = ("file_name", CAPTIONS[0])
    gives: ClassVar[Sequence[str]] = ("text", "file_name")

    def table(self) -> str:
        return f"clotho_captions_{self.options.split}.csv"

    def entries(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Entry]:
        split = self.options.split
        usual = [split, f"clotho_audio_{split}/{split}", f"clotho_audio_{split}", f"audio/{split}"]
        folder = self.first_folder([self.options.audio] if self.options.audio else usual)
        files = {_plain(file): file for file in sorted(files_in(os.path.join(self.path, folder)))}
        for row in rows:
            name = row["file_name"]
            captions = [row[column] for column in CAPTIONS if row.get(column)]
            yield Entry(name, f"{folder}/{files.get(_plain(name), name)}", {"text": captions, "file_name": name})


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()
