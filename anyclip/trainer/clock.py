"""Where the time goes: steps, waiting for data, and how long nothing was saved."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

DEFAULT_MINUTES = 10.0
"""Minutes between checkpoints when the config asks for no interval, so that a crash never costs a whole run."""


class Clock:
    """Seconds since the last log line and the last checkpoint."""

    def __init__(self, minutes: float | None, every: int | None):
        """minutes, every: `train.checkpoint_minutes` and `train.checkpoint_every`."""
        self._minutes = DEFAULT_MINUTES if minutes is None and every is None else minutes
        self._waited = 0.0
        self._lap = self._saved = time.perf_counter()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Time inside the block is waiting for data."""
        began = time.perf_counter()
        yield
        self._waited += time.perf_counter() - began

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Time inside the block (validation, saving) does not count as training."""
        began = time.perf_counter()
        yield
        self._lap += time.perf_counter() - began

    def lap(self) -> tuple[float, float]:
        """(seconds of training, seconds of them waiting for data) since the last lap."""
        now = time.perf_counter()
        seconds, waited = now - self._lap, self._waited
        self._lap, self._waited = now, 0.0
        return seconds, waited

    def saved(self) -> None:
        """A checkpoint was written."""
        self._saved = time.perf_counter()

    def save_due(self) -> bool:
        """The last checkpoint is older than wanted."""
        return self._minutes is not None and time.perf_counter() - self._saved >= 60 * self._minutes
