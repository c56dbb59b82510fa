"""The `activitynet` reader: ActivityNet Captions (Krishna et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from anyclip.readers.layouts import Entry
from anyclip_video.layouts import VideoLayout, field_of, read_json


class ActivitynetReader(VideoLayout):
    """`{name: {"duration", "timestamps": [[start, end], ...], "sentences": [...]}}`; names begin with `v_`, files may
    do without."""

    def tables(self) -> Sequence[str]:
        return [f"{self.options.split}.json"]

    def read(self, tables: Sequence[str]) -> Iterator[Entry]:
        files, path = self.files(), tables[0]
        for name, item in read_json(path, dict).items():
            file = files.get(name) or files.get(name.removeprefix("v_")) or f"{name}.mp4"
            sentences = field_of(item, "sentences", path)
            if self.options.text == "paragraph":
                yield from self.rows(name, file, [" ".join(sentences)])
                continue
            for k, (text, (start, end)) in enumerate(zip(sentences, field_of(item, "timestamps", path))):
                yield from self.rows(f"{name}#{k}", file, [text], {"start": start, "end": end})
