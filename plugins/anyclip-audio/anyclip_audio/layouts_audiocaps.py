"""The `audiocaps` reader: the tables of AudioCaps (Kim et al. 2019) over sounds that were fetched from YouTube."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from anyclip_audio.layouts import Entry, LayoutReader, files_in
from anyclip_audio.plugin import SUFFIXES

SECONDS = 10


class AudiocapsReader(LayoutReader):
    """`train.csv`, `val.csv` or `test.csv` (audiocap_id, youtube_id, start_time, caption): a row per sound, its
    captions as a list where there are several (five in val and test).

    A sound is any file of a known suffix that is named ID, ID_START, ID_START_END (in seconds or milliseconds), these
    after a `Y`, or by the audiocap_id; ID is the YouTube one.
    """

    needs: ClassVar[Sequence[str]] = ("audiocap_id", "youtube_id", "start_time", "caption")
    gives: ClassVar[Sequence[str]] = ("text", "youtube_id", "start_time")

    def table(self) -> str:
        return f"{self.options.split}.csv"

    def entries(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Entry]:
        split = self.options.split
        folder = self.first_folder([self.options.audio] if self.options.audio else [f"audio/{split}", split, "audio"])
        files = {}
        for file in sorted(files_in(os.path.join(self.path, folder))):
            stem, suffix = os.path.splitext(file)
            if suffix.lower() in SUFFIXES:
                files.setdefault(stem, file)
        sounds: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
        for row in rows:
            captions, numbers = sounds.setdefault((row["youtube_id"], row["start_time"]), ([], []))
            captions.append(row["caption"])
            numbers.append(row["audiocap_id"])
        for (video, start), (captions, numbers) in sounds.items():
            names = [*_stems(video, start), *numbers]
            file = next((files[name] for name in names if name in files), f"{video}.wav")
            values = {"text": captions if len(captions) > 1 else captions[0], "youtube_id": video, "start_time": start}
            yield Entry(f"{video}_{start}", f"{folder}/{file}", values)


def _stems(video: str, start: str) -> list[str]:
    """Names that downloaders give, the plainest last, since it may belong to another part of the video."""
    times = [start]
    try:
        begin = float(start)
    except ValueError:
        return [video, f"Y{video}"]
    for unit, form in ((1, "{:.0f}"), (1, "{:.3f}"), (1000, "{:.0f}")):
        times += [form.format(begin * unit) + "_" + form.format((begin + SECONDS) * unit)]
    times.append(f"{begin:.0f}")
    return [f"{head}{video}{tail}" for tail in (*(f"_{t}" for t in times), "") for head in ("", "Y")]
