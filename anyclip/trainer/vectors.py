"""Fill the table of a locked tower: find the values that it lacks, encode them, write a segment."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from anyclip.data import Source
from anyclip.data.digests import file_stamp
from anyclip.data.vectors import VectorTable, order, words
from anyclip.errors import BadSample, UserError
from anyclip.inference import encode_values
from anyclip.model import JointModel
from anyclip.trainer.agree import gather, raise_any, shared

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from anyclip.towers import Encoding
    from anyclip.trainer.progress import Display

BATCH = 64  # values encoded together, always: another number would give other rounding
_CHUNK = 64 * BATCH  # values whose vectors are in memory at a time


@dataclass
class Filling:
    """One tower's table and the values that it must hold.

    place: folder of the key. first: segments that the run used before, asked before others.
    """

    model: JointModel
    owner: str
    streams: Sequence[str]
    sources: Sequence[Source]
    place: Path
    first: Sequence[str]
    text: bool
    workers: int


@dataclass
class Found:
    """Values in the order of the data: contents [n, 2], where they are [n, 4] (source, stream, row, alternative)."""

    digests: np.ndarray
    where: np.ndarray
    stamps: np.ndarray  # [s, 4]: file stamp, content


def fill(filling: Filling, fabric: Fabric, display: Display) -> list[str]:
    """Names of the segments that hold every value of the data, in the order to ask them. Every process calls this."""
    segments = shared(fabric, lambda: _segments(filling.place, filling.first))
    table = VectorTable([filling.place / name for name in segments])
    found = _join(gather(fabric, _scan(filling, table, fabric.global_rank, fabric.world_size)))
    _, first = np.unique(found.digests, axis=0, return_index=True)
    first.sort()
    missing = first[~table.known(found.digests[first])]
    if not len(missing):
        return segments
    if fabric.is_global_zero:
        display.note(
            f"{filling.owner}: encoding {len(missing):,} of {len(first):,} values once, for all epochs and runs"
        )
    name = shared(fabric, lambda: os.urandom(8).hex())
    error: UserError | None = None
    try:
        _encode(filling, found, missing, name, fabric)
    except OSError as raised:
        error = _unwritable(filling.place, raised)
    raise_any(fabric, error)
    fabric.barrier()
    if fabric.is_global_zero:
        try:
            _publish(filling.place, name, found, missing, fabric.world_size)
        except OSError as raised:
            error = _unwritable(filling.place, raised)
    raise_any(fabric, error)
    fabric.barrier()
    if not (filling.place / name).is_dir():
        error = UserError(
            "what the first process wrote cannot be seen from another.",
            where=str(filling.place),
            hint="Set ANYCLIP_CACHE to a folder that all nodes share.",
        )
    raise_any(fabric, error)
    return [*segments, name]


def _segments(place: Path, first: Sequence[str]) -> list[str]:
    """Whole segments of a table: those that the run used before, then others by age."""
    there = [p for p in place.iterdir() if (p / "rows.npy").is_file()] if place.is_dir() else []
    names = [p.name for p in sorted(there, key=lambda p: (p.stat().st_mtime_ns, p.name)) if "." not in p.name]
    kept = [name for name in first if name in names]
    return [*kept, *(name for name in names if name not in kept)]


def _scan(filling: Filling, table: VectorTable, rank: int, world: int) -> Found:
    """Contents of this process's share of the rows; one that cannot be read is found broken when loaded."""
    digests: list[bytes] = []
    where: list[tuple[int, int, int, int]] = []
    stamps: dict[bytes, bytes] = {}
    for s, source in enumerate(filling.sources):
        n = len(source)
        names = [(i, stream) for i, stream in enumerate(filling.streams) if stream in source.streams]
        for row in range(n * rank // world, n * (rank + 1) // world) if names else ():
            for i, stream in names:
                for k, value in enumerate(source.attempts(row, stream)):
                    try:
                        if isinstance(value, BadSample):
                            continue
                        content = table.content(value, text=filling.text)
                    except BadSample:
                        continue
                    digests.append(content)
                    where.append((s, i, row, k))
                    if isinstance(value, str) and not filling.text and (stamp := file_stamp(value)) is not None:
                        stamps[stamp] = content
    pairs = np.hstack([words(list(stamps)), words(list(stamps.values()))])
    return Found(words(digests), np.array(where, dtype=np.int64).reshape(-1, 4), pairs)


def _join(parts: Sequence[Found]) -> Found:
    """The shares of all processes in the order of the data: by source, then row."""
    digests, where, stamps = (
        np.concatenate([getattr(p, name) for p in parts]) for name in ("digests", "where", "stamps")
    )
    by = np.lexsort((where[:, 3], where[:, 1], where[:, 2], where[:, 0]))
    return Found(digests[by], where[by], stamps)


class _Missing(Sequence):
    """Values fetched when they are encoded."""

    def __init__(self, filling: Filling, where: np.ndarray):
        self.filling, self.where = filling, where

    def __len__(self) -> int:
        return len(self.where)

    def __getitem__(self, i):
        source, stream, row, alternative = self.where[i].tolist()
        return self.filling.sources[source].attempts(row, self.filling.streams[stream])[alternative]


def _encode(filling: Filling, found: Found, missing: np.ndarray, name: str, fabric: Fabric) -> None:
    """This process's batches, in parts of a folder that is not a segment yet."""
    building = filling.place / f"{name}.building"
    building.mkdir(parents=True, exist_ok=True)
    batches = range(fabric.global_rank, -(-len(missing) // BATCH), fabric.world_size)
    mine = [i for b in batches for i in range(b * BATCH, min((b + 1) * BATCH, len(missing)))]
    bad: dict[int, str] = {}
    with open(building / f"part-{fabric.global_rank}.bin", "wb") as file:
        for start in range(0, len(mine), _CHUNK):
            chunk = mine[start : start + _CHUNK]
            encoded = encode_values(
                filling.model,
                filling.streams[0],
                _Missing(filling, found.where[missing[chunk]]),
                _pooled,
                batch_size=BATCH,
                device=fabric.device,
                workers=min(filling.workers, 4),
            )
            bad |= {chunk[i]: reason for i, reason in encoded.errors}
            rows = np.full((len(chunk), filling.model.tower(filling.owner).width), np.nan, dtype=np.float32)
            if len(encoded.rows):
                rows[encoded.rows.numpy()] = encoded.prepared["pooled"].numpy()
            file.write(rows.tobytes())
    (building / f"bad-{fabric.global_rank}.json").write_text(json.dumps(bad))


def _pooled(encoding: Encoding, features: Tensor) -> dict[str, Tensor]:
    return {"pooled": encoding.pooled.to(torch.float32)}


def _publish(place: Path, name: str, found: Found, missing: np.ndarray, world: int) -> None:
    """Put the parts together; the folder becomes a segment in one rename."""
    building, whole = place / f"{name}.building", place / f"{name}.whole"
    shutil.rmtree(whole, ignore_errors=True)
    whole.mkdir()
    n, bad = len(missing), {}
    width = sum((building / f"part-{r}.bin").stat().st_size for r in range(world)) // (4 * n)
    vectors = np.lib.format.open_memmap(whole / "vectors.npy", mode="w+", dtype=np.float32, shape=(n, width))
    for r in range(world):
        part = building / f"part-{r}.bin"
        size = part.stat().st_size // (4 * width)
        rows = np.memmap(part, dtype=np.float32, mode="r", shape=(size, width)) if size else np.empty((0, width))
        for k, b in enumerate(range(r, -(-n // BATCH), world)):
            vectors[b * BATCH : (b + 1) * BATCH] = rows[k * BATCH : (k + 1) * BATCH]
        bad |= {int(i): reason for i, reason in json.loads((building / f"bad-{r}.json").read_text()).items()}
    vectors.flush()
    contents = found.digests[missing]
    by = order(contents)
    rows_of = np.arange(n, dtype=np.int64)
    rows_of[list(bad)] = -1
    stamps = found.stamps[order(found.stamps)]
    np.save(whole / "digests.npy", contents[by])
    np.save(whole / "stamps.npy", stamps)
    reasons = {contents[i].astype(">u8").tobytes().hex(): reason for i, reason in bad.items()}
    (whole / "bad.json").write_text(json.dumps(reasons, indent=1), encoding="utf-8")
    np.save(whole / "rows.npy", rows_of[by])
    shutil.rmtree(building)
    os.rename(whole, place / name)


def _unwritable(place: Path, error: OSError) -> UserError:
    return UserError(
        f"the vectors of a locked tower could not be written: {error.strerror or error}.",
        where=str(place),
        hint="Set ANYCLIP_CACHE to a folder with room, or leave `cache` out.",
    )
