"""What a person sees during training: a live line in a terminal, plain lines elsewhere, JSON, or nothing."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any, Literal

from anyclip.evaluation.base import show, unit

Mode = Literal["auto", "quiet", "json"]


class Display:
    """Receives steps, log records and notes; this one shows nothing."""

    def start(self, done: int, steps: int) -> None:
        """Training begins after `done` of `steps` steps."""

    def step(self, step: int) -> None:
        """A step is done; called for every one, so it must be cheap."""

    def record(self, record: Mapping[str, Any]) -> None:
        """A line of metrics.jsonl."""

    def note(self, text: str) -> None:
        """Something to know that is not a number."""

    def done(self, summary: Mapping[str, Any]) -> None:
        """The run is complete: steps, seconds, loss, eval, run, report."""

    def close(self) -> None:
        """Training is over; the terminal must be left in order. May be called twice."""


class _Json(Display):
    def done(self, summary: Mapping[str, Any]) -> None:
        print(json.dumps({"done": summary}), flush=True)

    def record(self, record: Mapping[str, Any]) -> None:
        print(json.dumps(record), flush=True)

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class _Plain(Display):
    """A line per log step, for files and pipes."""

    def start(self, done: int, steps: int) -> None:
        self._steps, self._done, self._began = steps, done, time.monotonic()

    def record(self, record: Mapping[str, Any]) -> None:
        step = record["step"]
        left = (time.monotonic() - self._began) / max(1, step - self._done) * (self._steps - step)
        text = f"step {step}/{self._steps}  {describe(record)}"
        self.note(text if "eval" in record else f"{text}  ETA {clock(left)}")

    def done(self, summary: Mapping[str, Any]) -> None:
        self.note(closing_words(summary))

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class _Live(Display):
    """A bar at the foot of the terminal; evaluations and notes scroll above it."""

    _progress: Any = None

    def start(self, done: int, steps: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.table import Column

        console = Console(stderr=True)
        bar = [BarColumn(bar_width=None)] if console.width >= 110 else []  # figures before decoration
        self._progress = Progress(
            TextColumn(
                "step {task.completed:.0f}/{task.total:.0f}",
                table_column=Column(no_wrap=True, min_width=len(f"step {steps}/{steps}")),
            ),
            *bar,
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7), elapsed_when_finished=True),
            console=console,
            refresh_per_second=2,  # drawing costs about a millisecond: twice a second is not felt by training
            speed_estimate_period=120,
            expand=bool(bar),
        )
        self._task = self._progress.add_task("train", total=steps, completed=done, figures="")
        self._progress.start()

    def step(self, step: int) -> None:
        self._progress.update(self._task, completed=step)

    def record(self, record: Mapping[str, Any]) -> None:
        if "eval" in record:
            self.note(f"step {record['step']}  {describe(record)}")
        else:
            self._progress.update(self._task, figures=describe(record))

    def note(self, text: str) -> None:
        if self._progress is None:
            print(text, file=sys.stderr, flush=True)
        else:
            self._progress.console.print(text, markup=False, highlight=False)

    def done(self, summary: Mapping[str, Any]) -> None:
        self.note(closing_words(summary))

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()


def create_display(mode: Mode = "auto") -> Display:
    """`auto`: live in a terminal, plain lines otherwise."""
    if mode == "quiet":
        return Display()
    if mode == "json":
        return _Json()
    return _Live() if sys.stderr.isatty() else _Plain()


def describe(record: Mapping[str, Any]) -> str:
    """The figures of a record that are worth a glance."""
    if "eval" in record:
        return "   ".join(headlines(record["eval"]))
    loss = record.get("loss")
    parts = [f"loss {loss:.4f}" if loss is not None else "loss not finite", f"lr {record['lr']:.2e}"]
    parts.append(f"{record['samples_per_s']:.0f} samples/s")
    parts.append(f"data wait {100 * record['data_wait']:.0f} %")
    parts.append(f"{record['memory_mib'] / 1024:.1f} GiB")
    parts += [
        f"{record[key]} {text}" for key, text in (("bad", "bad values"), ("skipped", "skipped")) if record.get(key)
    ]
    return "  ".join(parts)


def headlines(numbers: Mapping[str, float]) -> list[str]:
    """A line per direction or stream, with its shares: `image->text R@1 47.9 %  R@5 93.0 %`."""
    lines: dict[str, list[str]] = {}
    for metric, value in numbers.items():
        label, _, name = metric.rpartition("/")
        if unit(metric) == "share":
            lines.setdefault(label.partition("/")[2] or label, []).append(f"{name} {show(metric, value)}")
    return [f"{label} {'  '.join(found)}" for label, found in lines.items()]


def closing_words(summary: Mapping[str, Any]) -> str:
    """What came out, and the commands that one runs next."""
    loss = "" if summary["loss"] is None else f", loss {summary['loss']:.4f}"
    lines = [f"done: {summary['steps']} steps in {clock(summary['seconds'])}{loss}"]
    lines += [f"  {line}" for line in headlines(summary["eval"])]
    run = summary["run"]
    lines += [f"run folder: {run}", f"report: {summary['report']}", "next:"]
    lines += [f"  anyclip eval {run}", f"  anyclip embed {run} FILES... -o embeddings.parquet", f"  anyclip demo {run}"]
    return "\n".join(lines)


def clock(seconds: float) -> str:
    """`1:02:03`"""
    minutes, seconds = divmod(int(max(0, seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
