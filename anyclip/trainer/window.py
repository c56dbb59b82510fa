"""Means since the last log line; part of a checkpoint, so that a resumed curve is the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Window:
    """Running means of named numbers."""

    def __init__(self, state: Mapping[str, Any] | None = None):
        self._sums: dict[str, float] = dict((state or {}).get("sums", {}))
        self._counts: dict[str, int] = dict((state or {}).get("counts", {}))

    def add(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        return {name: total / self._counts[name] for name, total in self._sums.items()}

    def clear(self) -> None:
        self._sums.clear()
        self._counts.clear()

    def state(self) -> dict[str, Any]:
        """Plain values; JSON keeps them exactly."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}
