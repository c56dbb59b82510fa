"""The `didemo` reader: Distinct Describable Moments (Hendricks et al. 2017)."""

from __future__ import annotations

import collections
import os
from collections.abc import Iterator, Sequence
from typing import Any

from anyclip.readers.layouts import Entry
from anyclip_video.layouts import VideoLayout, field_of, read_json

SECONDS = 5
"""The annotators chose among parts of five seconds."""


class DidemoReader(VideoLayout):
    """`[{"video", "description", "times": [[first, last], ...]}, ...]`; times count parts of five seconds."""

    def tables(self) -> Sequence[str]:
        return [f"{self.options.split}_data.json"]

    def read(self, tables: Sequence[str]) -> Iterator[Entry]:
        files, path = self.files(), tables[0]
        items = read_json(path, list)
        if self.options.text == "sentences":
            for number, item in enumerate(items):
                video, text = field_of(item, "video", path), field_of(item, "description", path)
                part = _part(field_of(item, "times", path))
                yield from self.rows(f"{video}#{item.get('annotation_id', number)}", _file(files, video), [text], part)
            return
        joined: dict[str, list[str]] = {}
        for item in items:
            joined.setdefault(field_of(item, "video", path), []).append(field_of(item, "description", path))
        for video, texts in joined.items():
            yield from self.rows(video, _file(files, video), [" ".join(texts)])


def _file(files: dict[str, str], video: str) -> str:
    """Names carry the suffix under which the video was uploaded; copies often have another, or both."""
    return files.get(os.path.splitext(video)[0]) or files.get(video) or video


def _part(times: Sequence[Any]) -> dict[str, int]:
    """The choice of most annotators; among equals the first."""
    (first, last), _ = collections.Counter((int(a), int(b)) for a, b in times).most_common(1)[0]
    return {"start": SECONDS * first, "end": SECONDS * (last + 1)}
