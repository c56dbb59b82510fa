"""One dataset: a reader, and which of its columns feeds which stream."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from anyclip.config.schema import SourceConfig
from anyclip.data.values import alternatives, bad_sample, check_field, check_value
from anyclip.errors import BadSample, UserError, nearest
from anyclip.processors import Processor
from anyclip.readers import Blob, Reader, create_reader
from anyclip.registry import get_registry


@dataclass(frozen=True)
class StreamInfo:
    """What a dataset must know of a stream: the processor of its tower and the tower's modality name."""

    processor: Processor
    modality: str


class Source:
    """A dataset of the config, opened; picklable, so that loader workers read by themselves.

    Args:
        streams: stream -> StreamInfo. `name#k` reads the column of `name` unless `fields` says otherwise.
        base: folder against which a relative `path` option is taken.
        extra: names of fields that are no stream (labels, teacher vectors).
        partial: a stream without a column is left out instead of being an error (one dataset of several).
        name: what messages and `quarantine.jsonl` call the dataset.

    Raises UserError naming a missing column and those found.
    """

    def __init__(
        self,
        config: SourceConfig,
        *,
        streams: Mapping[str, StreamInfo],
        base: str | None = None,
        extra: Iterable[str] = (),
        partial: bool = False,
        name: str | None = None,
    ):
        self.name = name or source_name(config)
        self.reader: Reader = create_reader(config.name, config.options, base=base)
        self.columns: dict[str, str] = {}
        for stream, info in streams.items():
            self._map(stream, config.fields, self.columns, modality=info.modality)
        self.extra: dict[str, str] = {}
        for field in extra:
            self._map(field, config.fields, self.extra, modality=None)
        self._check_mapped({k: v for k, v in config.fields.items() if k not in streams and k not in extra})
        missing = [name for name in (*streams, *extra) if name not in self.columns and name not in self.extra]
        if (missing and not partial) or not (self.columns or self.extra):
            self._refuse(missing)
        self.streams = {stream: streams[stream] for stream in self.columns}
        self._text = {s: get_registry().modality(i.modality).string_is_value for s, i in self.streams.items()}
        self._last: tuple[int, Mapping[str, Any]] | None = None

    def _map(self, name: str, fields: Mapping[str, str], into: dict[str, str], *, modality: str | None) -> None:
        """Find the column of a stream or field; a column that `fields` names must be there."""
        plain = name.partition("#")[0] if modality else name
        named = fields.get(name, fields.get(plain))
        column = self.reader.find(named or plain, modality=modality)
        if column is not None:
            into[name] = column
        elif named is not None:
            self._absent(name, named)

    def _check_mapped(self, fields: Mapping[str, str]) -> None:
        for name, column in fields.items():
            if self.reader.find(column) is None:
                self._absent(name, column)

    def _absent(self, name: str, column: str) -> None:
        columns = self.reader.columns()
        close = nearest(column, columns)
        raise UserError(
            f"fields.{name} names the column {column!r}, which is not there.",
            where=self.name,
            hint=(f"Did you mean {close}? " if close else "") + self._found(),
        )

    def _refuse(self, missing: list[str]) -> None:
        plural = len(missing) > 1
        raise UserError(
            f"no column{'s' if plural else ''} for {', '.join(missing)}.",
            where=self.name,
            hint=f"{self._found()} Map {'each' if plural else 'it'}: `fields: {{{missing[0]}: COLUMN}}`.",
        )

    def _found(self) -> str:
        return f"Found: {', '.join(self.reader.columns()) or 'no columns'}."

    def __len__(self) -> int:
        return len(self.reader)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}

    def sample_id(self, row: int) -> str:
        return self.reader.sample_id(row)

    def fingerprint(self) -> str:
        """Digest of the data and of the columns in use."""
        text = repr([self.reader.fingerprint(), sorted(self.columns.items()), sorted(self.extra.items())])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def values(self, row: int, stream: str) -> list[Any]:
        """Every alternative of a value, checked and located; empty when the row lacks the stream. Raises BadSample."""
        raw = self._cell(row, self.columns[stream], modality=self.streams[stream].modality)
        if raw is None:
            return []
        text = self._text[stream]
        return [self._located(check_value(value, text=text), text) for value in alternatives(raw, text=text)]

    def attempts(self, row: int, stream: str) -> list[Any]:
        """As `values`, where a broken alternative is its BadSample; empty when the cell itself cannot be read."""
        try:
            raw = self._cell(row, self.columns[stream], modality=self.streams[stream].modality)
            text = self._text[stream]
            choices = [] if raw is None else alternatives(raw, text=text)
        except BadSample:
            return []
        found: list[Any] = []
        for choice in choices:
            try:
                found.append(self._located(check_value(choice, text=text), text))
            except BadSample as error:
                found.append(error)
        return found

    def value(self, row: int, stream: str, rng: np.random.Generator | None = None) -> Any:
        """What the processor loads, or None when the row lacks the stream (a missing modality).

        Of several alternatives: one drawn by `rng`, the first when `rng` is None. Paths are located.
        Raises BadSample(reason) for a broken value or row.
        """
        raw = self._cell(row, self.columns[stream], modality=self.streams[stream].modality)
        if raw is None:
            return None
        text = self._text[stream]
        choices = alternatives(raw, text=text)
        chosen = 0 if rng is None or len(choices) == 1 else int(rng.integers(len(choices)))
        try:
            return self._located(check_value(choices[chosen], text=text), text)
        except BadSample as error:
            if len(choices) == 1:
                raise
            raise BadSample(f"alternative {chosen + 1} of {len(choices)}: {error.reason}") from error

    def load(self, row: int, stream: str, rng: np.random.Generator | None = None) -> Any:
        """The processor's sample, or None when the row lacks the stream.

        Raises BadSample for whatever the processor cannot load; an error that it did not foresee keeps its type,
        message and line in the reason.
        """
        value = self.value(row, stream, rng)
        if value is None:
            return None
        try:
            return self.streams[stream].processor.load(value, rng=rng)
        except MemoryError:
            raise
        except Exception as error:
            bad = bad_sample(error)
            raise BadSample(_with_name(bad.reason, None if self._text[stream] else value)) from error

    def field(self, row: int, name: str) -> Any:
        """A label or teacher vector (number, string or array); None when missing. Raises BadSample."""
        raw = self._cell(row, self.extra[name], modality=None)
        return None if raw is None else check_field(raw)

    def _located(self, value: Any, text: bool) -> Any:
        if text:
            return value
        if isinstance(value, Mapping) and isinstance(value.get("path"), str) and value.get("bytes") is None:
            return {**value, "path": self.reader.locate(value["path"])}  # a part of a file
        return self.reader.locate(value) if isinstance(value, str) else value

    def _cell(self, row: int, column: str, *, modality: str | None) -> Any:
        """A raw cell. A row is read once for all its streams, unless the reader makes single values."""
        try:
            if type(self.reader).value is not Reader.value:
                return self.reader.value(row, column, modality=modality)
            last = self._last  # a local name: threads may read rows of their own
            if last is None or last[0] != row:
                last = self._last = (row, self.reader[row])
            return last[1].get(column)
        except (UserError, MemoryError):
            raise
        except Exception as error:
            raise bad_sample(error) from error


def source_name(config: SourceConfig) -> str:
    """`manifest data/train.jsonl`, or the reader's name alone."""
    path = config.options.get("path")
    return f"{config.name} {path}" if isinstance(path, str) else config.name


def _with_name(reason: str, value: Any) -> str:
    value = value.get("path") if isinstance(value, Mapping) else value
    name = value if isinstance(value, str) else value.name if isinstance(value, Blob) else None
    return reason if name is None or name in reason else f"{name}: {reason}"
