"""Loader processes: how they start, end with their trainer, and what is said when one dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import get_worker_info

from anyclip.errors import UserError

POLL_SECONDS = 0.2  # between looks at the trainer; a worker is gone within this time plus one system call
_NOTES = 3  # numbers that a worker notes before it loads a value: dataset, row, stream

_DEATHS = {
    -signal.SIGKILL: (
        "was killed by the operating system, most often for want of memory",
        "Lower data.workers, data.prefetch or data.batch_size.",
    ),
    -signal.SIGSEGV: ("crashed in native code (segmentation fault)", "Remove the value or update the decoder."),
    -signal.SIGABRT: ("was aborted by native code", "Remove the value or update the decoder."),
}
if hasattr(signal, "SIGBUS"):
    _DEATHS[-signal.SIGBUS] = (
        "got a bus error: shared memory (/dev/shm) is full",
        "Give the container more (`--shm-size`), or lower data.workers or data.prefetch.",
    )


def start_context() -> Any:
    """`forkserver` where there is one, else `spawn`; never `fork`, which copies locks that other threads hold.

    The fork server imports this package once, so that workers start quickly and share its memory.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["anyclip.data.fork_server"])
    return context


class Board:
    """A few shared numbers between the trainer and its workers: `closing`, and what each worker is loading."""

    def __init__(self, context: Any, workers: int):
        self._closing = context.RawValue("b", 0)
        self._notes = context.RawArray("q", [-1] * (_NOTES * workers))

    @property
    def closing(self) -> bool:
        return bool(self._closing.value)

    def close(self) -> None:
        self._closing.value = 1

    def note(self, dataset: int, row: int, stream: int) -> None:
        """Called in a worker before it loads a value."""
        info = get_worker_info()
        if info is not None:
            at = info.id * _NOTES
            self._notes[at : at + _NOTES] = [dataset, row, stream]

    def last(self, worker: int) -> tuple[int, int, int] | None:
        """What a worker was loading last: dataset, row, stream number."""
        dataset, row, stream = self._notes[worker * _NOTES : (worker + 1) * _NOTES]
        return None if dataset < 0 else (dataset, row, stream)


class WorkerStart:
    """`worker_init_fn` of the loader: one thread, no signals of the trainer's group, and an end with the trainer.

    A worker of a fork server is not the trainer's child, so its parent's number says nothing: it polls the trainer's
    own process number and start time.
    """

    def __init__(self, board: Board):
        self.board, self.trainer = board, os.getpid()
        self.born = _start_time(self.trainer)

    def __call__(self, worker: int) -> None:
        torch.set_num_threads(1)
        # Ctrl-C and a scheduler's SIGTERM reach the whole process group; the trainer still needs batches to end well
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._terminated)
        threading.Thread(target=self._watch, name="anyclip-watch", daemon=True).start()

    def _terminated(self, number: int, frame: Any) -> None:
        if self.board.closing or not alive(self.trainer, self.born):
            os._exit(0)

    def _watch(self) -> None:
        while not self.board.closing and alive(self.trainer, self.born):
            time.sleep(POLL_SECONDS)
        os._exit(0)


def alive(pid: int, born: str | None) -> bool:
    """Whether the process of that number and start time runs (a zombie does not)."""
    if born is not None:
        return _start_time(pid) == born
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    parent = multiprocessing.parent_process()
    return parent is None or parent.is_alive()


def _start_time(pid: int) -> str | None:
    """Start time of a running process in clock ticks; None when it ended or the system has no /proc."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()


def death(exitcodes: Sequence[int | None], described: Sequence[str | None]) -> UserError | None:
    """The error for workers that ended by themselves, or None when none did. `described`: what each was loading."""
    for worker, (code, loading) in enumerate(zip(exitcodes, described)):
        if code is None:
            continue
        what, hint = _DEATHS.get(code, (f"ended with exit code {code}", "Run with data.workers=0 to see its error."))
        while_loading = f" while it loaded {loading}" if loading else ""
        return UserError(f"loader worker {worker} {what}{while_loading}.", where="data", hint=hint)
    return None
