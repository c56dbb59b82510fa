"""metrics.jsonl: one line per log step, without gaps or repeats over restarts."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anyclip.checkpoint import write_text_atomic
from anyclip.errors import UserError


class MetricsFile:
    """Appends records, `{"step": int, ...}` each, flushed line by line so that a kill loses none that was written."""

    def __init__(self, path: Path, *, keep_until: int | None = None):
        """keep_until: drop lines after this step, which a resumed run will write again; None: start anew."""
        self.path = path
        try:
            write_text_atomic(path, "" if keep_until is None else _lines_until(path, keep_until))
            self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 (open for the length of the run)
        except OSError as error:
            raise UserError(f"cannot be written: {error.strerror}.", where=str(path)) from error

    def write(self, record: Mapping[str, Any]) -> None:
        """One line. Values that are not finite become null: JSON has no other word for them."""
        try:
            self._file.write(json.dumps(_finite(record), allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise UserError(f"cannot be written: {error.strerror}.", where=str(self.path)) from error

    def sync(self) -> None:
        """Make sure of the disk; called before a checkpoint is finished."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Every complete line; a last line that a kill cut short is left out."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            records.append(record)
    return records


def _lines_until(path: Path, step: int) -> str:
    return "".join(json.dumps(r) + "\n" for r in read_metrics(path) if r["step"] <= step)


def flatten(record: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Nested numbers as `a/b`, for loggers; what is not a number is left out."""
    flat: dict[str, float] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            flat[prefix + key] = value
    return flat


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
