"""From row numbers to a `Batch`: load, collate, and note what is broken. Runs in loader workers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anyclip.data.batch import BadValue, Batch, Part
from anyclip.data.rng import keyed_generator
from anyclip.data.sources import Source, StreamInfo
from anyclip.errors import BadSample, UserError

Note = Callable[[int, int, int], None]


@dataclass(frozen=True)
class Work:
    """One process's rows of one global batch."""

    step: int
    picks: np.ndarray  # int64 [local rows, 3]: epoch, dataset, row
    size: int  # rows of the global batch
    start: int  # global row number of the first local row


def local_range(size: int, rank: int, world: int) -> tuple[int, int]:
    """Rows [start, stop) of a global batch that process `rank` of `world` holds."""
    return size * rank // world, size * (rank + 1) // world


def number_of_parts(size: int, world: int, micro_batch: int | None) -> int:
    """Micro-batches per process: the same on every process, enough for the one with the most rows."""
    if micro_batch is None:
        return 1
    return max(1, math.ceil(math.ceil(size / world) / micro_batch))


class Assembler:
    """Picklable; makes the `Batch` of a `Work`.

    Augmentation draws from a generator keyed by (seed, epoch, dataset, row, stream): the same whatever the worker,
    the process or the micro-batch.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        streams: Mapping[str, StreamInfo],
        *,
        seed: int,
        parts: int = 1,
        micro_batch: int | None = None,
        extra: Sequence[str] = (),
    ):
        self.sources, self.streams, self.seed = list(sources), dict(streams), seed
        self.parts, self.micro_batch, self.extra = parts, micro_batch, list(extra)

    def __call__(self, work: Work, *, note: Note | None = None) -> Batch:
        """Load a batch. `note(dataset, row, stream number)` is called before each value: it tells what crashed."""
        found = _Found(bad=[], tried=0, fields={name: [] for name in self.extra})
        local = len(work.picks)
        micro = self.micro_batch or max(local, 1)
        parts = []
        for i in range(self.parts):
            samples: dict[str, list[tuple[int, Any]]] = {}
            for k in range(min(i * micro, local), min((i + 1) * micro, local)):
                self._row(work, k, samples, found, note)
            parts.append(self._part(samples))
        fields = {name: _field_of(name, cells, found) for name, cells in found.fields.items() if cells}
        span = (work.start, work.start + local)
        return Batch(parts, work.size, span, fields, found.bad, found.tried, work.step)

    def _row(self, work: Work, k: int, samples: dict, found: _Found, note: Note | None) -> None:
        """Load every stream and field of one row."""
        epoch, dataset, row = work.picks[k].tolist()
        source = self.sources[dataset]
        for number, stream in enumerate(self.streams):
            if stream in source.streams:
                if note is not None:
                    note(dataset, row, number)
                rng = keyed_generator("augment", self.seed, epoch, dataset, row, stream)
                sample = found.attempt(source, row, stream, lambda s=stream, r=rng: source.load(row, s, r))
                if sample is not None:
                    samples.setdefault(stream, []).append((work.start + k, sample))
        for name in self.extra:
            if name in source.extra:
                value = found.attempt(source, row, name, lambda n=name: source.field(row, n))
                if value is not None:
                    found.fields[name].append(_Cell(work.start + k, source, row, value))

    def _part(self, samples: dict[str, list[tuple[int, Any]]]) -> Part:
        inputs, rows = {}, {}
        for stream in self.streams:
            if stream in samples:
                inputs[stream] = self._collate(stream, [sample for _, sample in samples[stream]])
                rows[stream] = torch.tensor([number for number, _ in samples[stream]], dtype=torch.long)
        return Part(inputs, rows)

    def _collate(self, stream: str, samples: list[Any]) -> Any:
        processor = self.streams[stream].processor
        try:
            return processor.collate(samples)
        except MemoryError:
            raise
        except Exception as error:
            raise UserError(
                f"{type(processor).__name__} could not collate {len(samples)} samples: {type(error).__name__}: {error}",
                where=f"stream {stream}",
                hint="Its `load` must give samples that its `collate` takes; tell the plugin's author.",
            ) from error


@dataclass
class _Cell:
    """A field's value and where it came from."""

    number: int  # global row
    source: Source
    row: int
    value: Any


@dataclass
class _Found:
    """What a batch gathers beside its inputs."""

    bad: list[BadValue]
    tried: int
    fields: dict[str, list[_Cell]]

    def attempt(self, source: Source, row: int, name: str, load: Callable[[], Any]) -> Any:
        """What `load` gives, or None when the value is missing or broken; counts and notes it."""
        try:
            value = load()
        except BadSample as error:
            self.refuse(source, row, name, error.reason)
            self.tried += 1
            return None
        self.tried += value is not None
        return value

    def refuse(self, source: Source, row: int, name: str, reason: str) -> None:
        self.bad.append(BadValue(source.name, source.sample_id(row), name, reason))


def _field_of(name: str, cells: list[_Cell], found: _Found) -> tuple[Tensor, Any]:
    """(global rows, collated values); a value whose shape is not the batch's most common one is broken."""
    shapes = ["a string" if isinstance(cell.value, str) else str(list(cell.value.shape)) for cell in cells]
    usual = max(dict.fromkeys(shapes), key=shapes.count)
    for cell, shape in zip(cells, shapes):
        if shape != usual:
            found.refuse(cell.source, cell.row, name, f"has shape {shape}, others {usual}")
    kept = [cell for cell, shape in zip(cells, shapes) if shape == usual]
    numbers = torch.tensor([cell.number for cell in kept], dtype=torch.long)
    return numbers, collate_field([cell.value for cell in kept])


def collate_field(values: list[Any]) -> Any:
    """Strings stay a list; arrays become one tensor (axis 0 the rows). Integers among floats become float32."""
    if isinstance(values[0], str):
        return values
    stacked = np.stack(values)
    if stacked.dtype == np.float64 and not any(value.dtype == np.float64 for value in values):
        stacked = stacked.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(stacked))
