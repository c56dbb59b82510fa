"""SIGINT and SIGTERM end a run after the running step, with a checkpoint; a second Ctrl-C ends it at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class Stopped(Exception):
    """The run was asked to end and has saved what it had.

    code: the exit code of the command. told: whether this process (the first) is the one that says so.
    """

    def __init__(self, number: int, message: str, *, told: bool = True):
        self.code, self.told = EXIT_CODES[signal.Signals(number)], told
        super().__init__(message)


class StopSignals:
    """Inside the `with` block signals are remembered in `received` (0: none) instead of ending the process."""

    def __init__(self, *, tell: bool = True):
        self.received = 0
        self._tell = tell
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            for number in EXIT_CODES:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            os._exit(EXIT_CODES[signal.SIGINT])  # loader processes end by themselves when their parent is gone
        self.received = number
        if self._tell:
            # os.write: a handler may interrupt a print of the same stream
            text = "\nstopping after this step, with a checkpoint (Ctrl-C again: stop at once)\n"
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, text.encode())
