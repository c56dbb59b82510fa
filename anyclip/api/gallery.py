"""Embedded items that are searched by a value of any stream, stream by stream, with previews."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anyclip.api.embedding import Failure, source_entries
from anyclip.api.files import Entry, modality_of_file
from anyclip.api.table import EmbeddingTable
from anyclip.errors import BadSample, UserError, did_you_mean
from anyclip.registry import get_registry
from anyclip.registry.registry import resolve

if TYPE_CHECKING:
    from anyclip.api.model import Model

_LONGEST = 400  # characters of a text that a preview shows


@dataclass(frozen=True)
class Found:
    """An item and its cosine with the query."""

    score: float
    name: str
    preview: str


class Gallery:
    """Items of a model's streams. entries: as `anyclip.api.files` finds them; vectors: float32 [N, E], unit length.

    bad: (name, reason) of items that could not be embedded.
    """

    def __init__(self, model: Model, entries: list[Entry], vectors: np.ndarray, bad: list[tuple[str, str]]):
        self.model, self.entries, self.vectors, self.bad = model, entries, vectors, bad
        rows: dict[str, list[int]] = {}
        for row, entry in enumerate(entries):
            rows.setdefault(entry.stream, []).append(row)
        self.rows = {stream: np.asarray(rows[stream]) for stream in model.streams if stream in rows}
        self._preview = lru_cache(maxsize=2000)(self._render)

    @classmethod
    def of_run(cls, model: Model, *, limit: int = 1000, progress: bool = False) -> Gallery:
        """The validation data of the run, at most `limit` values of each stream. Raises UserError where it has none."""
        sources = model.config.data.val
        if not sources:
            raise UserError(
                "the run names no validation data to show.",
                hint="Embed files and open the table.",
                next="anyclip embed RUN FILES -o TABLE.parquet && anyclip demo TABLE.parquet",
            )
        wanted: list[Entry] = []
        counts = dict.fromkeys(model.streams, 0)
        for source in sources:
            base = model.config.base
            for entry in islice(source_entries(model, source, base=base), limit * len(model.streams)):
                if counts[entry.stream] < limit:
                    counts[entry.stream] += 1
                    wanted.append(entry)
        return cls._embedded(model, _once(wanted), progress)

    @classmethod
    def of_table(cls, model: Model, table: EmbeddingTable) -> Gallery:
        """The rows of a table that `anyclip embed` wrote with this model."""
        rows = zip(table.ids, table.streams, table.values)
        entries = [Entry(name, stream, value, value) for name, stream, value in rows]
        return cls(model, entries, table.vectors, [])

    @classmethod
    def _embedded(cls, model: Model, entries: list[Entry], progress: bool) -> Gallery:
        vectors = np.zeros((len(entries), model.dim), dtype=np.float32)
        bad: dict[int, str] = {i: str(e.value) for i, e in enumerate(entries) if isinstance(e.value, Failure)}
        for stream in model.streams:
            rows = [i for i, e in enumerate(entries) if e.stream == stream and i not in bad]
            if rows:
                values = [entries[i].value for i in rows]
                found, errors = model.embed_reporting(stream, values, workers=2, progress=progress)
                vectors[rows] = found.numpy()
                bad |= {rows[k]: reason for k, reason in errors}
        good = [i for i in range(len(entries)) if i not in bad]
        named = [(entries[i].id, reason) for i, reason in bad.items()]
        return cls(model, [entries[i] for i in good], vectors[good], named)

    def streams_of(self, file: str) -> list[str]:
        """The streams that may embed a file, by its suffix."""
        claimed = modality_of_file(file, sorted(set(self.model.modalities.values())))
        return [s for s, m in self.model.modalities.items() if m in claimed and s not in self.text_streams]

    @property
    def text_streams(self) -> list[str]:
        """Streams that take a plain string as the value."""
        return [s for s, m in self.model.modalities.items() if get_registry().modality(m).string_is_value]

    def search(self, stream: str, value: Any, count: int = 6) -> dict[str, list[Found]]:
        """The nearest items of every stream, best first. Raises UserError for a value that cannot be embedded."""
        vectors, bad = self.model.embed_reporting(self.model.stream(stream), [value])
        if bad:
            name = os.path.basename(value) if isinstance(value, str) and os.path.exists(value) else None
            raise UserError(f"cannot be embedded: {bad[0][1]}", where=name)
        return self.nearest(vectors[0].numpy()[: self.vectors.shape[1]], count)

    def nearest(self, vector: np.ndarray, count: int) -> dict[str, list[Found]]:
        """As `search`, for a vector [E]."""
        vector = vector / max(float(np.linalg.norm(vector)), 1e-12)
        found = {}
        for stream, rows in self.rows.items():
            scores = self.vectors[rows] @ vector
            best = np.argsort(-scores, kind="stable")[:count]
            found[stream] = [Found(float(scores[i]), *self._shown(int(rows[i]))) for i in best]
        return found

    def item(self, stream: str, number: int) -> tuple[Entry, str]:
        """(entry, preview) of an item of a stream; the number wraps around. Raises UserError for an empty stream."""
        if stream not in self.rows:
            raise UserError(f"no items of {stream!r}.", hint=did_you_mean(stream, self.rows, noun="Streams"))
        row = int(self.rows[stream][number % len(self.rows[stream])])
        return self.entries[row], self._preview(row)

    def _shown(self, row: int) -> tuple[str, str]:
        """(path, or the sample's name where the value is no path; preview)."""
        entry = self.entries[row]
        text = entry.stream in self.text_streams
        return entry.id if text else entry.shown, self._preview(row)

    def _render(self, row: int) -> str:
        entry = self.entries[row]
        spec = get_registry().modality(self.model.modalities[entry.stream])
        if spec.string_is_value:
            text = entry.value if len(entry.value) <= _LONGEST else entry.value[:_LONGEST] + " ..."
            return f"<q>{html.escape(text)}</q>"
        if spec.preview is None:
            return f"<code>{html.escape(entry.shown)}</code>"
        preview: Callable[[Any], str] = resolve(spec.preview)
        try:
            return preview(entry.value)
        except (BadSample, OSError) as error:
            return f"<em>{html.escape(str(error))}</em>"


def open_gallery(path: str | Path, *, limit: int = 1000, device: str = "cpu", progress: bool = False) -> Gallery:
    """The gallery of a run, model folder or embedding table. Raises UserError."""
    from anyclip.api.loading import load

    if Path(path).is_file():
        table = EmbeddingTable(path)
        model = load(table.info.model, device=device)
        if model.digest() != table.info.digest:
            raise UserError(
                f"its vectors were made by another model than the one at {table.info.model}.",
                where=str(path),
                next=f"anyclip embed {table.info.model} FILES -o {path}",
            )
        return Gallery.of_table(model, table)
    return Gallery.of_run(load(path, device=device), limit=limit, progress=progress)


def _once(entries: Iterable[Entry]) -> list[Entry]:
    """Equal texts once: several rows may share a caption."""
    seen: set[tuple[str, str]] = set()
    found = []
    for entry in entries:
        key = (entry.stream, entry.value if isinstance(entry.value, str) else entry.id)
        if key not in seen:
            seen.add(key)
            found.append(entry)
    return found
