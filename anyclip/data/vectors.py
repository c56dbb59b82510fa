"""Vectors of a locked tower on disk, found by the content of the value that they encode.

A table is a folder of segments; a segment is written once and never changed. Its files are memory-mapped, so that
processes and loader workers share the pages:

    digests.npy   [n, 2] uint64, sorted: contents         rows.npy     [n] int64: their rows in vectors.npy, -1 = broken
    vectors.npy   [m, W]: pooled vectors                  bad.json     digest -> reason of the broken ones
    stamps.npy    [s, 4] uint64, sorted: file stamp -> content, so that a file is read once while it does not change
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anyclip.data.digests import SIZE, file_stamp, value_digest
from anyclip.errors import BadSample
from anyclip.processors import Processor
from anyclip.processors.vectors import Vectors


def words(digests: Sequence[bytes]) -> np.ndarray:
    """Digests as [n, 2] uint64 that sort as their bytes do."""
    return np.frombuffer(b"".join(digests), dtype=">u8").reshape(-1, SIZE // 8).astype(np.uint64)


def order(table: np.ndarray) -> np.ndarray:
    """The order that sorts rows of uint64 by their first two columns."""
    return np.lexsort((table[:, 1], table[:, 0]))


def find(table: np.ndarray, digest: bytes) -> int:
    """Row of a sorted table whose first two columns are the digest, or -1."""
    high, low = np.frombuffer(digest, dtype=">u8").astype(np.uint64)
    at = int(np.searchsorted(table[:, 0], high))
    while at < len(table) and table[at, 0] == high:
        if table[at, 1] == low:
            return at
        at += 1
    return -1


class Segment:
    """One part of a table, opened when it is first used; picklable, workers map the files by themselves."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder}

    @cached_property
    def digests(self) -> np.ndarray:
        return self._map("digests")

    @cached_property
    def rows(self) -> np.ndarray:
        return self._map("rows")

    @cached_property
    def vectors(self) -> np.ndarray:
        return self._map("vectors")

    @cached_property
    def stamps(self) -> np.ndarray:
        return self._map("stamps")

    @cached_property
    def bad(self) -> dict[str, str]:
        return json.loads((self.folder / "bad.json").read_text(encoding="utf-8"))

    def _map(self, name: str) -> np.ndarray:
        path = self.folder / f"{name}.npy"
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        return np.asarray(found) if found.size else np.load(path, allow_pickle=False)


class VectorTable:
    """The segments of one key, in the order in which they are asked; the first that knows a content decides."""

    def __init__(self, segments: Sequence[Path]):
        self.segments = [Segment(folder) for folder in segments]

    def content(self, value: Any, *, text: bool) -> bytes:
        """Digest of a value; a file that did not change is not read again. Raises BadSample."""
        if isinstance(value, str) and not text:
            stamp = file_stamp(value)
            for segment in self.segments:
                at = -1 if stamp is None else find(segment.stamps, stamp)
                if at >= 0:
                    return segment.stamps[at, 2:].astype(">u8").tobytes()
        return value_digest(value, text=text)

    def known(self, digests: np.ndarray) -> np.ndarray:
        """[n] bool: which contents [n, 2] have a row, good or broken."""
        found = np.zeros(len(digests), dtype=bool)
        for segment in self.segments:
            theirs = np.asarray(segment.digests)
            if not len(theirs):
                continue
            at = np.searchsorted(theirs[:, 0], digests[:, 0]).clip(max=len(theirs) - 1)
            found |= (theirs[at] == digests).all(axis=1)
            for i in np.flatnonzero(~found & (theirs[at, 0] == digests[:, 0])):  # equal first halves: next to never
                found[i] = find(theirs, digests[i].astype(">u8").tobytes()) >= 0
        return found

    def vector(self, digest: bytes) -> np.ndarray:
        """[W]. Raises BadSample for a content that is broken, or that no segment knows."""
        for segment in self.segments:
            at = find(segment.digests, digest)
            if at >= 0:
                row = int(segment.rows[at])
                if row < 0:
                    raise BadSample(segment.bad[digest.hex()])
                return segment.vectors[row]
        raise BadSample("its vector is not in the cache: the value changed since the run began")


class VectorProcessor(Processor):
    """Stands in for the processor of a locked tower: a value's stored vector instead of its decoded sample.

    width: of the tower's pooled vectors. text: plain strings are values of the modality.
    """

    def __init__(self, table: VectorTable, width: int, *, text: bool):
        self.table, self.width, self.text = table, width, text

    def load(self, value: Any, *, rng: np.random.Generator | None = None) -> Tensor:
        """[W]; nothing is decoded."""
        return torch.from_numpy(np.array(self.table.vector(self.table.content(value, text=self.text))))

    def collate(self, samples: list[Tensor]) -> Vectors:
        return Vectors(torch.stack(samples))

    def placeholder(self) -> Tensor:
        return torch.zeros(self.width)
