"""The `lsmdc` reader: the Large Scale Movie Description Challenge (Rohrbach et al. 2017), as of 2016."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from anyclip.readers.layouts import Entry
from anyclip_video.layouts import VideoLayout

TABLES = {
    "train": "LSMDC16_annos_training.csv",
    "val": "LSMDC16_annos_val.csv",
    "test": "LSMDC16_challenge_1000_publictect.csv",
}
_COLUMNS = 6


class LsmdcReader(VideoLayout):
    """Tables without a header, tabs between clip, start and end aligned, start and end extracted, sentence. The clips
    are files of their own, in a folder a film."""

    def tables(self) -> Sequence[str]:
        return [TABLES[self.options.split]]

    def read(self, tables: Sequence[str]) -> Iterator[Entry]:
        files = self.files()
        with open(tables[0], encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                cells = line.rstrip("\r\n").split("\t")
                if not line.strip():
                    continue
                if len(cells) < _COLUMNS:
                    name = f"{self.table_name}:{number}"
                    yield Entry(name, problem=f"{name}: has {len(cells)} cells, wanted {_COLUMNS} between tabs")
                    continue
                clip = cells[0].strip()
                film = clip.rpartition("_")[0]
                yield from self.rows(clip, files.get(clip, f"{film}/{clip}.avi"), [cells[-1]])
