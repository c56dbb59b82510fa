"""The `overlapping_clips` reader: the pairs of VideoCLIP (Xu et al. 2021, arXiv:2109.14084).

What is said in a video is often shown a little earlier or later. So a text is drawn first; then a moment inside its
time; then a clip of random length around that moment. Both overlap, and neither has the borders of the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from anyclip.data.rng import keyed_generator
from anyclip.errors import BadSample, DataError
from anyclip.readers import Reader
from anyclip.readers.manifest import ManifestReader
from anyclip.readers.options import ManifestOptions
from anyclip_video.overlap_options import OverlappingClipsOptions

_NEEDS = ("video", "start", "end", "text")


class OverlappingClipsReader(Reader):
    """Rows of `video`, a part of a file, and `text`; `clips` consecutive rows are of one video.

    Raises DataError for a table without the columns; a row whose lists do not fit raises BadSample.
    """

    def __init__(self, options: OverlappingClipsOptions, *, base: str | None = None):
        self.options = options
        self.table = ManifestReader(
            ManifestOptions(path=options.path, where=options.where, root=options.root), base=base
        )
        lacking = [name for name in _NEEDS if name not in self.table.columns()]
        if lacking:
            found = ", ".join(self.table.columns())
            raise DataError(f"has no column {', '.join(lacking)}.", where=options.path, hint=f"There: {found}.")

    def __len__(self) -> int:
        return len(self.table) * self.options.clips

    def __getitem__(self, row: int) -> Mapping[str, Any]:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        video, clip = divmod(row, self.options.clips)
        values = self.table[video]
        name = self.table.sample_id(video)
        starts, ends, texts = _captions(values, name)
        rng = keyed_generator("overlap", self.options.seed, name, clip)
        first, last, text = self._text(texts, rng)
        start, end = self._part(starts[first], max(ends[first : last + 1]), values.get("duration"), rng)
        return {"video": {"path": values["video"], "start": start, "end": end}, "text": text}

    def _text(self, texts: Sequence[str], rng: np.random.Generator) -> tuple[int, int, str]:
        """(first caption, last caption, words): from a random caption on as many words as are drawn."""
        o = self.options
        wanted = int(rng.integers(o.min_words, o.max_words + 1))
        first = last = int(rng.integers(len(texts)))
        words = texts[first].split()
        while len(words) < wanted and last + 1 < len(texts):
            last += 1
            words += texts[last].split()
        while len(words) < o.min_words and first > 0:  # near the end: what was said before
            first -= 1
            words = texts[first].split() + words
        return first, last, " ".join(words[:wanted])

    def _part(self, start: float, end: float, duration: Any, rng: np.random.Generator) -> tuple[float, float]:
        """The seconds of the clip, inside the video where its length is known."""
        o = self.options
        if o.overlap:
            middle, half = rng.uniform(start, end), rng.uniform(o.min_seconds, o.max_seconds) / 2
            start, end = middle - half, middle + half
        stop = float(duration) if duration is not None else end
        return round(max(0.0, start), 3), round(min(end, stop), 3)

    def columns(self) -> list[str]:
        return ["video", "text"]

    def locate(self, value: str) -> str:
        return self.table.locate(value)

    def sample_id(self, row: int) -> str:
        video, clip = divmod(row, self.options.clips)
        return f"{self.table.sample_id(video)}#{clip}"

    def fingerprint(self) -> str:
        text = repr([self.table.fingerprint(), sorted(vars(self.options).items())])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _captions(values: Mapping[str, Any], name: str) -> tuple[list[float], list[float], list[str]]:
    starts, ends, texts = (values.get(key) for key in _NEEDS[1:])
    lists = [[x] if isinstance(x, (str, int, float)) else x for x in (starts, ends, texts)]
    if not all(isinstance(x, list) and x for x in lists) or len({len(x) for x in lists}) != 1:  # type: ignore[arg-type]
        raise BadSample(f"{name}: start, end and text are lists of the same length")
    if values.get("video") is None:
        raise BadSample(f"{name}: has no video")
    try:
        times = [[float(x) for x in part] for part in lists[:2]]  # type: ignore[union-attr]
    except (TypeError, ValueError):
        raise BadSample(f"{name}: start and end are numbers of seconds") from None
    if not all(isinstance(text, str) for text in lists[2]):  # type: ignore[union-attr]
        raise BadSample(f"{name}: text holds what is no text")
    if any(not start < end for start, end in zip(*times)):
        raise BadSample(f"{name}: a caption ends before it starts")
    return times[0], times[1], lists[2]  # type: ignore[return-value]
