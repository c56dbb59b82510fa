"""The `tar` reader: WebDataset-layout shards with random access, local or behind a URL. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from anyclip.errors import BadSample, DataError
from anyclip.readers import paths, tarindex
from anyclip.readers.base import Blob, Reader
from anyclip.readers.files import FilePool
from anyclip.readers.options import TarOptions
from anyclip.readers.packed import PackedStrings
from anyclip.readers.remote import RemoteFile
from anyclip.readers.shards import find_shards, short_names
from anyclip.readers.shared import share, unshare
from anyclip.readers.window import Window
from anyclip.registry import get_registry

_LOG = logging.getLogger(__name__)
_LOCAL_BLOCK, _REMOTE_BLOCK = 1 << 12, 1 << 17
_GAP = 1 << 16


class TarReader(Reader):
    """Samples of tar shards; a column per suffix (`jpg`, `txt`, `seg.png`).

    Each shard's headers are read once and the index is cached; then a value is one positioned read. `.txt` is text
    (UTF-8), `.json` parsed, `.cls` a class number or name, `json.caption` one entry of the JSON object; everything
    else stays undecoded (`Blob`). `jpg;png` is the first of these that a sample has.

    incomplete: column -> (how many samples lack it, the first one's id); logged once.
    """

    def __init__(self, options: TarOptions, *, base: str | None = None):
        self.options = options
        cache = paths.cache_folder(paths.absolute(options.cache, base) if options.cache else None)
        found = find_shards(options.path, base)
        self.names = short_names(found)
        if options.remote == "copy":
            found = [paths.fetch(url, cache) if paths.is_url(url) else url for url in found]
        self._shards: list[str | RemoteFile] = [str(path) for path in found]
        self._files = FilePool()
        self._join(self._open_all(cache))
        self._plans: dict[str, list[tuple[int, str, str | None]]] = {}
        self._last: tuple[int, int, bytes] | None = None
        self.incomplete = self._find_incomplete()

    # -- indexes ---------------------------------------------------------------------------------------------

    def _open_all(self, cache: Path) -> list[tarindex.ShardIndex]:
        jobs = range(len(self._shards))
        if any(paths.is_url(str(shard)) for shard in self._shards):
            with ThreadPoolExecutor(8) as pool:  # waiting for servers, not for the processor
                return list(pool.map(lambda i: self._open(i, cache), jobs))
        return [self._open(i, cache) for i in jobs]

    def _open(self, number: int, cache: Path) -> tarindex.ShardIndex:
        path, name = str(self._shards[number]), self.names[number]
        if paths.is_url(path):
            remote = self._shards[number] = RemoteFile(path)
            read, size, stamp = Window(remote.read, _REMOTE_BLOCK).read, remote.size, remote.stamp
            places = [_cached(cache, path)]
        else:
            paths.require_file(path, "shard")
            status = os.stat(path)
            window = Window(lambda size, offset: self._files.pread(path, size, offset), _LOCAL_BLOCK)
            read, size, stamp = window.read, status.st_size, f"{status.st_size}:{status.st_mtime_ns}"
            beside = Path(path + ".index.npz")
            own = not self.options.cache and _may_write(beside.parent)
            places = [beside, _cached(cache, path)] if own else [_cached(cache, path)]
        index = next((i for i in (tarindex.ShardIndex.load(place, stamp) for place in places) if i), None)
        if index is None:
            try:
                index = tarindex.build(read, size, name)
            except (OSError, BadSample) as error:
                raise DataError(f"cannot be read: {error}", where=path) from error
            _save(index, places, stamp)
        if index.problem:
            self._truncated(index, name)
        return index

    def _truncated(self, index: tarindex.ShardIndex, name: str) -> None:
        if self.options.on_truncated == "error":
            raise DataError(
                f"is cut short: it {index.problem}. {len(index.keys)} samples are complete.",
                where=name,
                hint="Fetch it again, or set `on_truncated: warn` to use the complete samples.",
            )
        _LOG.warning("%s: is cut short: it %s; its %d complete samples are used", name, index.problem, len(index.keys))

    def _join(self, indexes: list[tarindex.ShardIndex]) -> None:
        """One table of all shards: int64 [N, 1 + 2 C], shard number, then offset and size of each column."""
        self._columns = list(dict.fromkeys(column for index in indexes for column in index.columns))
        total = sum(len(index.keys) for index in indexes)
        if not total:
            raise DataError("the shards hold no samples.", where=", ".join(self.names[:3]))
        self._table = np.full((total, 1 + 2 * len(self._columns)), -1, np.int64)
        at = 0
        for number, index in enumerate(indexes):
            rows = slice(at, at + len(index.keys))
            self._table[rows, 0] = number
            for i, column in enumerate(index.columns):
                k = 1 + 2 * self._columns.index(column)
                self._table[rows, k : k + 2] = index.places[:, i]
            at = rows.stop
        self._keys = PackedStrings(key for index in indexes for key in index.keys)
        self._digests = [index.digest for index in indexes]
        self.ignored = sum(index.ignored for index in indexes)

    def _find_incomplete(self) -> dict[str, tuple[int, str]]:
        found = {}
        for i, column in enumerate(self._columns):
            lacking = np.flatnonzero(self._table[:, 1 + 2 * i] < 0)
            if len(lacking):
                found[column] = (len(lacking), self.sample_id(int(lacking[0])))
                _LOG.info("%d of %d samples lack .%s, first: %s", len(lacking), len(self), column, found[column][1])
        if self.ignored:
            _LOG.info("%d members are no samples (hidden, or without a suffix) and are ignored", self.ignored)
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None, "_table": share(self._table)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._table = unshare(self._table)

    # -- samples ---------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._table)

    def columns(self) -> list[str]:
        return list(self._columns)

    def find(self, column: str, *, modality: str | None = None) -> str | None:
        """A suffix, `json.entry`, `jpg;png`; or for a stream's name, every column whose suffix its modality claims."""
        if self._plan(column):
            return column
        if modality is None:
            return None
        suffixes = get_registry().modality(modality).suffixes
        return ";".join(c for c in self._columns if any(f".{c}".endswith(s) for s in suffixes)) or None

    def _plan(self, column: str) -> list[tuple[int, str, str | None]]:
        """(place in the table, column, JSON entry) to try in turn."""
        plan = self._plans.get(column)
        if plan is None:
            plan = []
            for name in column.split(";"):
                plain, _, entry = name.partition("json.")
                if name in self._columns:
                    plan.append((1 + 2 * self._columns.index(name), name, None))
                elif entry and f"{plain}json" in self._columns:
                    plan.append((1 + 2 * self._columns.index(f"{plain}json"), f"{plain}json", entry))
            self._plans[column] = plan
        return plan

    def __getitem__(self, row: int) -> Mapping[str, Any]:
        values = ((column, self.value(row, column)) for column in self._columns)
        return {column: value for column, value in values if value is not None}

    def value(self, row: int, column: str, *, modality: str | None = None) -> Any:
        """One value of a sample; None when the sample lacks it. Raises BadSample naming shard and key."""
        if not 0 <= row < len(self._table):
            raise IndexError(f"row {row} of {len(self._table)}")
        places = self._table[row].tolist()
        for at, name, entry in self._plan(column):
            if places[at] >= 0:
                data = self._bytes(row, places, at)
                return _value(data, name, entry, f"{self.sample_id(row)}.{name}")
        return None

    def _bytes(self, row: int, places: list[int], at: int) -> bytes:
        shard, offset, size = self._shards[places[0]], places[at], places[at + 1]
        if isinstance(shard, RemoteFile):
            return self._remote_bytes(shard, row, places, offset, size)
        try:
            data = self._files.pread(shard, size, offset)
        except OSError as error:
            raise BadSample(f"{self.sample_id(row)}: cannot be read: {error}") from error
        if len(data) != size:
            raise BadSample(f"{self.sample_id(row)}: the shard has become shorter since it was indexed")
        return data

    def _remote_bytes(self, shard: RemoteFile, row: int, places: list[int], offset: int, size: int) -> bytes:
        """The streams of a sample lie side by side: one request brings them all when the gaps are small."""
        last = self._last
        if last is None or last[0] != row:
            parts = [(places[k], places[k + 1]) for k in range(1, len(places), 2) if places[k] >= 0]
            start, end = min(o for o, _ in parts), max(o + s for o, s in parts)
            if end - start > sum(s for _, s in parts) + _GAP:
                return shard.read(size, offset)
            last = self._last = (row, start, shard.read(end - start, start))
        return last[2][offset - last[1] : offset - last[1] + size]

    def sample_id(self, row: int) -> str:
        """`shard-0001.tar/0007`."""
        return f"{self.names[int(self._table[row, 0])]}/{self._keys[row]}"

    def fingerprint(self) -> str:
        """Digest of the names, sizes and times that the shards' headers give, in order: a copied folder is the same.

        The members' bytes are not read: a rewritten shard has other header times, a bit that flips on disk is not seen.
        """
        text = json.dumps([self._digests, len(self)])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _suffix(column: str) -> str:
    return f".{column.rpartition('.')[2]}"


def _may_write(folder: Path) -> bool:
    """Whether the folder's mode lets anybody write: root could write into a read-only folder, and should not."""
    return bool(folder.stat().st_mode & 0o222) and os.access(folder, os.W_OK)


def _cached(cache: Path, path: str) -> Path:
    return cache / "shards" / f"{hashlib.blake2b(path.encode(), digest_size=12).hexdigest()}.npz"


def _save(index: tarindex.ShardIndex, places: list[Path], stamp: str) -> None:
    for place in places:
        try:
            index.save(place, stamp)
            return
        except OSError as error:
            problem = error
    _LOG.warning("%s: the shard index cannot be saved and will be made again next time: %s", places[-1], problem)


def _value(data: bytes, column: str, entry: str | None, name: str) -> Any:
    """Text, JSON and class members as values, the rest as a Blob. Raises BadSample."""
    suffix = _suffix(column)
    if suffix not in (".txt", ".json", ".cls"):
        return Blob(data, name)
    try:
        text = data.decode("utf-8")
        if suffix == ".txt":
            return text
        if suffix == ".cls":
            return int(text) if text.strip().lstrip("-").isdigit() else text.strip()
        value = json.loads(text)
    except UnicodeDecodeError as error:
        raise BadSample(f"{name}: is not UTF-8: {error.reason} at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise BadSample(f"{name}: is not valid JSON: {error}") from None
    if entry is None:
        return value
    if not isinstance(value, dict):
        raise BadSample(f"{name}: is a JSON {type(value).__name__}, which has no {entry!r}")
    return value.get(entry)
