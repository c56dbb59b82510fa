"""Embed many entries into a table, a part at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import anyclip
from anyclip.api.files import Entry
from anyclip.api.table import TableInfo, TableWriter
from anyclip.config.schema import SourceConfig
from anyclip.data.sources import Source, StreamInfo
from anyclip.errors import BadSample

if TYPE_CHECKING:
    from anyclip.api.model import Model

_PART = 4096  # entries held at a time


class Failure(str):
    """The reason why an entry has no value."""


def write_table(
    model: Model,
    entries: Iterable[Entry],
    path: str | Path,
    *,
    dim: int | None = None,
    batch_size: int = 64,
    workers: int = 0,
    progress: bool = False,
) -> tuple[int, list[tuple[str, str]]]:
    """Embed entries into the Parquet file `path`: (rows written, (id, reason) of what could not be embedded).

    Memory is that of one part, whatever the number of entries. Rows keep the order of the entries.
    """
    info = TableInfo(
        digest=model.digest(),
        model=str(model.path.resolve()) if model.path else "",
        model_dim=model.dim,
        dim=dim or model.dim,
        version=anyclip.__version__,
    )
    options = {"dim": dim, "batch_size": batch_size, "workers": workers, "progress": progress}
    written, failed = 0, []
    entries = iter(entries)
    with TableWriter(path, info) as writer:
        while part := list(islice(entries, _PART)):
            vectors, reasons = _embed_part(model, part, options)
            good = [i for i in range(len(part)) if i not in reasons]
            failed += [(part[i].id, reasons[i]) for i in sorted(reasons)]
            chosen = [part[i] for i in good]
            modalities = [model.modalities[e.stream] for e in chosen]
            writer.write(
                [e.id for e in chosen], modalities, [e.stream for e in chosen], [e.shown for e in chosen], vectors[good]
            )
            written += len(good)
    return written, failed


def _embed_part(model: Model, part: list[Entry], options: dict[str, Any]) -> tuple[np.ndarray, dict[int, str]]:
    """(vectors [n, dim], position -> reason); rows that failed hold nan."""
    vectors = np.full((len(part), options["dim"] or model.dim), np.nan, dtype=np.float32)
    reasons = {i: str(e.value) for i, e in enumerate(part) if isinstance(e.value, Failure)}
    by_stream: dict[str, list[int]] = defaultdict(list)
    for i, entry in enumerate(part):
        if i not in reasons:
            by_stream[entry.stream].append(i)
    for stream, positions in by_stream.items():
        found, errors = model.embed_reporting(stream, [part[i].value for i in positions], **options)
        vectors[positions] = found.numpy()
        reasons |= {positions[k]: reason for k, reason in errors}
    return vectors, reasons


def source_entries(model: Model, config: SourceConfig, *, base: str | None = None) -> Iterator[Entry]:
    """Every value of a dataset for every stream it holds; broken ones come as a `Failure`."""
    infos = {s: StreamInfo(model.joint.processor(s), model.modalities[s]) for s in model.streams}
    source = Source(config, streams=infos, base=base, partial=True)
    for row in range(len(source)):
        for stream in source.streams:
            name = source.sample_id(row)
            try:
                values = source.values(row, stream)
            except BadSample as error:
                yield Entry(name, stream, Failure(error.reason), name)
                continue
            for k, value in enumerate(values):
                shown = value if isinstance(value, str) else name
                yield Entry(f"{name}#{k}" if len(values) > 1 else name, stream, value, shown)
