"""The account of broken values: `quarantine.jsonl`, and the point at which a run must stop."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from anyclip.data.batch import BadValue, Batch
from anyclip.errors import UserError

try:
    import fcntl
except ImportError:  # no such locks on Windows
    fcntl = None

MINIMUM = 100
"""Values of a stream that must have been tried before its share of broken ones can stop a run (unless max_bad is 0)."""
RECENT = 1000
"""The newest values, of which more than half way from max_bad to all broken stops a run too: a disk that went away."""


class Quarantine:
    """Counts values per stream and names each broken one once, as a JSON line {dataset, sample, stream, reason}.

    Several processes may share one file; a resumed run appends what is not there yet.

    Args:
        path: the file, or None to count only.
        max_bad: share of a stream's values (0..1) above which `check` raises.
        minimum: see `MINIMUM`.
    """

    def __init__(self, path: str | Path | None, max_bad: float, *, minimum: int = MINIMUM):
        self.path, self.max_bad, self.minimum = Path(path) if path else None, max_bad, minimum
        self.tried: dict[str, int] = {}
        self.bad: dict[str, int] = {}
        self._recent: dict[str, list[float]] = {}  # stream -> [tried, bad], halved now and then
        self._first: dict[str, BadValue] = {}
        self._known: set[tuple[str, str, str]] = set()
        self._read = 0  # bytes of the file already seen

    @property
    def total_bad(self) -> int:
        return sum(self.bad.values())

    def add(self, batch: Batch) -> None:
        """Record a batch's values, then `check`. Raises UserError."""
        self.record(batch)
        self.check()

    def record(self, batch: Batch) -> None:
        """Count a batch's values and append its broken ones to the file; never raises for their number."""
        good = {stream: len(batch.rows(stream)) for stream in batch.streams}
        good |= {name: len(rows) for name, (rows, _) in batch.fields.items()}
        broken: dict[str, int] = {}
        for value in batch.bad:
            broken[value.stream] = broken.get(value.stream, 0) + 1
            self._first.setdefault(value.stream, value)
        for stream in good.keys() | broken.keys():
            bad = broken.get(stream, 0)
            self._count(stream, good.get(stream, 0) + bad, bad)
        if batch.bad:
            self._append(batch.bad)

    def _count(self, stream: str, tried: int, bad: int) -> None:
        self.tried[stream] = self.tried.get(stream, 0) + tried
        self.bad[stream] = self.bad.get(stream, 0) + bad
        recent = self._recent.setdefault(stream, [0.0, 0.0])
        if recent[0] >= 2 * RECENT:
            recent[:] = [recent[0] / 2, recent[1] / 2]
        recent[0] += tried
        recent[1] += bad

    def check(self) -> None:
        """Raise UserError when a stream has too large a share of broken values."""
        for stream in sorted(self.bad):
            bad, tried = self.bad[stream], self.tried[stream]
            recent, recent_bad = self._recent[stream]
            if bad > self.max_bad * tried and (tried >= self.minimum or self.max_bad == 0):
                self._stop(stream, f"{bad} of {tried}", bad / tried)
            if recent >= RECENT and recent_bad > (1 + self.max_bad) / 2 * recent:
                self._stop(stream, f"{recent_bad:.0f} of the last {recent:.0f}", recent_bad / recent)

    def _stop(self, stream: str, count: str, share: float) -> None:
        first = self._first[stream]
        see = f"; see {self.path}" if self.path else ""
        raise UserError(
            f"{count} values ({share:.1%}) of stream {stream} are broken, more than data.max_bad = {self.max_bad:g}; "
            f"first: {first.sample}: {first.reason}{see}.",
            where=first.dataset,
            hint="Mend the data, or raise data.max_bad.",
        )

    def _append(self, values: Iterable[BadValue]) -> None:
        fresh = {_key(value): value for value in values if _key(value) not in self._known}
        if not fresh or self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a+b") as file, _locked(file):
            torn = self._catch_up(file)
            lines = [json.dumps(asdict(v), ensure_ascii=False) + "\n" for k, v in fresh.items() if k not in self._known]
            data = "".join(lines).encode("utf-8", "backslashreplace")
            file.write(b"\n" + data if torn and data else data)
            file.flush()
            self._read = file.seek(0, 2)
        self._known |= fresh.keys()

    def _catch_up(self, file: IO[bytes]) -> bool:
        """Learn what other processes or an earlier run wrote; True when the last line was cut by a kill."""
        file.seek(self._read)
        data = file.read()
        for line in data.splitlines():
            with suppress(ValueError, KeyError, TypeError):  # a cut line names nothing
                entry = json.loads(line)
                self._known.add((entry["dataset"], entry["sample"], entry["stream"]))
        return bool(data) and not data.endswith(b"\n")

    def state_dict(self) -> dict[str, Any]:
        """Counters for a checkpoint (plain JSON types); the names are in the file."""
        first = {stream: asdict(value) for stream, value in self._first.items()}
        recent = {stream: list(pair) for stream, pair in self._recent.items()}
        return {"tried": dict(self.tried), "bad": dict(self.bad), "recent": recent, "first": first}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.tried, self.bad = dict(state["tried"]), dict(state["bad"])
        self._recent = {stream: list(pair) for stream, pair in state["recent"].items()}
        self._first = {stream: BadValue(**value) for stream, value in state["first"].items()}


def _key(value: BadValue) -> tuple[str, str, str]:
    return value.dataset, value.sample, value.stream


@contextmanager
def _locked(file: IO[bytes]):
    """Keep other processes from writing; a file system without locks is used without."""
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if fcntl is not None:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_UN)
