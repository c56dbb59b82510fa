"""The `msrvtt` reader: MSR-VTT (Xu et al. 2016) with the splits of video-text retrieval."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from anyclip.errors import DataError
from anyclip.readers.csvtable import CsvTable
from anyclip.readers.layouts import Entry
from anyclip_video.layouts import VideoLayout, field_of, read_json

LISTS = {
    "train_9k": "MSRVTT_train.9k.csv",
    "train_7k": "MSRVTT_train.7k.csv",
    "test_1k_a": "MSRVTT_JSFUSION_test.csv",
}
WHOLE = "MSRVTT_data.json"
PARTS = {"train": "train_val_videodatainfo.json", "test": "test_videodatainfo.json"}


class MsrvttReader(VideoLayout):
    """`{"videos": [{video_id, split, ...}], "sentences": [{video_id, caption, ...}]}` and CSV lists of video_id.

    The test list of 1k-A (Yu et al. 2018) holds its own sentence for each of its 1,000 videos.
    """

    def tables(self) -> Sequence[str]:
        split = self.options.split
        if split == "test_1k_a":
            return [LISTS[split]]
        if os.path.exists(os.path.join(self.path, WHOLE)):
            annotations = [WHOLE]
        elif split in ("validate", *PARTS):
            annotations = [PARTS["test" if split == "test" else "train"]]
        else:  # the lists draw from both
            annotations = list(PARTS.values())
        return [LISTS[split], *annotations] if split in LISTS else annotations

    def read(self, tables: Sequence[str]) -> Iterator[Entry]:
        files, split = self.files(), self.options.split
        listed = _column(tables[0], "video_id") if split in LISTS else None
        if split == "test_1k_a":
            sentences = _column(tables[0], "sentence")
            for video, sentence in zip(listed or (), sentences):
                yield from self.rows(video, files.get(video, f"{video}.mp4"), [sentence])
            return
        captions: dict[str, list[str]] = {}
        splits: dict[str, str] = {}
        for path in tables[1:] if listed is not None else tables:
            content = read_json(path, dict)
            for video in field_of(content, "videos", path):
                splits[field_of(video, "video_id", path)] = video.get("split", "")
            for sentence in field_of(content, "sentences", path):
                captions.setdefault(field_of(sentence, "video_id", path), []).append(
                    field_of(sentence, "caption", path)
                )
        for video in listed if listed is not None else (name for name, found in splits.items() if found == split):
            yield from self.rows(video, files.get(video, f"{video}.mp4"), captions.get(video, []))


def _column(path: str, name: str) -> list[str]:
    table = CsvTable(path, name=os.path.basename(path))
    if name not in table.columns:
        raise DataError(f"has no column {name}.", where=path, hint=f"There: {', '.join(table.columns)}.")
    return [table.row(row)[name] or "" for row in range(len(table))]
