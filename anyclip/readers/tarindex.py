"""The index of one shard: which sample has which columns, and where their bytes lie. Made once, cached in a file."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from anyclip.errors import DataError
from anyclip.readers import tarformat

VERSION = 1
_SPLIT = re.compile(r"^((?:.*/)?[^./][^./]*)\.([^/]+)$")  # folder/base . suffix, up to the first dot of the base name
_LOG = logging.getLogger(__name__)


@dataclass
class ShardIndex:
    """Samples of a shard, `R` rows and `C` columns.

    keys: R names, `folder/0007`.
    columns: C suffixes, `jpg`, `seg.png`.
    places: int64 [R, C, 2], offset and size; offset -1 where a sample lacks the column.
    digest: of names, sizes and times of all members: the shard's identity, wherever it lies.
    problem: what is wrong when the shard is cut short, else empty.
    ignored: members that are no sample: hidden, or without a suffix.
    """

    keys: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    places: np.ndarray = field(default_factory=lambda: np.empty((0, 0, 2), np.int64))
    digest: str = ""
    problem: str = ""
    ignored: int = 0

    def save(self, path: Path, stamp: str) -> None:
        """Write beside the shard or into a cache, atomically. `stamp`: what the shard looked like. Raises OSError."""
        head = {k: v for k, v in vars(self).items() if k != "places"}
        text = json.dumps({"version": VERSION, "stamp": stamp, **head}, ensure_ascii=True).encode()
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(part, "wb") as file:
                np.savez(file, head=np.frombuffer(text, np.uint8), places=self.places)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path, stamp: str) -> ShardIndex | None:
        """The cached index, or None when there is none, it is of another version or shard, or it is damaged."""
        try:
            with np.load(path, allow_pickle=False) as file:
                head = json.loads(file["head"].tobytes())
                places = file["places"]
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever a damaged zip raises, the shard is simply indexed again
            _LOG.warning("%s: the shard index is damaged and is made again: %s", path, error)
            return None
        if head.pop("version", None) != VERSION or head.pop("stamp", None) != stamp:
            return None
        index = cls(places=places, **head)
        shape = (len(index.keys), len(index.columns), 2)
        return index if places.dtype == np.int64 and places.shape == shape else None


def build(read: Callable[[int, int], bytes], total: int, shard: str) -> ShardIndex:
    """Index an archive of `total` bytes by its headers; `read(size, offset)`. Raises DataError naming the shard.

    Members of one key are one sample wherever they lie in the shard. Suffixes are lower case. When the shard is cut
    short, `problem` says so and the sample that was being written is left out.
    """
    index, digest = ShardIndex(), hashlib.blake2b(digest_size=16)
    samples: dict[str, dict[str, tuple[int, int]]] = {}
    key = None
    try:
        for member in tarformat.members(read, total, shard):
            digest.update(f"{member.name}\0{member.size}\0".encode("utf-8", "surrogateescape") + member.time)
            found = _SPLIT.match(member.name)
            if found is None or member.name.startswith("__MACOSX/"):
                index.ignored += 1
                continue
            key, suffix = found[1], found[2].lower()
            sample = samples.setdefault(key, {})
            if suffix in sample:
                raise DataError(f"the sample {key!r} has two members with the suffix {suffix!r}.", where=shard)
            sample[suffix] = (member.offset, member.size)
    except tarformat.Truncated as cut:
        index.problem = str(cut)
        _drop_incomplete(samples, key, cut.member)
    index.columns = list(dict.fromkeys(suffix for sample in samples.values() for suffix in sample))
    index.keys, index.digest = list(samples), digest.hexdigest()
    number = {suffix: i for i, suffix in enumerate(index.columns)}
    index.places = np.full((len(samples), len(number), 2), -1, np.int64)
    for row, sample in enumerate(samples.values()):
        for suffix, place in sample.items():
            index.places[row, number[suffix]] = place
    return index


def _drop_incomplete(samples: dict[str, dict[str, tuple[int, int]]], last: str | None, cut: str | None) -> None:
    """Leave out the sample that was being written: the one of the cut member, or one with fewer columns than before."""
    found = _SPLIT.match(cut) if cut else None
    if found is not None:
        samples.pop(found[1], None)
        last = None if last == found[1] else last
    if last is None or last not in samples:
        return
    others = [set(sample) for key, sample in samples.items() if key != last]
    if others and not set(samples[last]) >= set.intersection(*others):
        del samples[last]
