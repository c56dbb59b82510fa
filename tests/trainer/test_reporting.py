"""Loggers, the metrics file and what a person sees."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from anyclip.errors import PluginError, UserError
from anyclip.trainer import train
from anyclip.trainer.loggers import create_loggers
from anyclip.trainer.metrics import MetricsFile, flatten, read_metrics
from anyclip.trainer.progress import clock, closing_words, create_display, describe, headlines

RECORD = {
    "step": 5,
    "loss": 1.25,
    "lr": 1e-3,
    "samples_per_s": 812.3,
    "data_wait": 0.021,
    "bad": 3,
    "memory_mib": 1536.0,
}


@pytest.fixture
def library(monkeypatch):
    """A stand-in for a logging library that writes down the calls it gets."""

    def make(name: str) -> list[tuple]:
        calls: list[tuple] = []
        module = ModuleType(name)
        module.__spec__ = SimpleNamespace(name=name)  # type: ignore[assignment]
        module.init = lambda **kw: (calls.append(("init", kw)), SimpleNamespace(id="abc"))[1]  # type: ignore[attr-defined]
        module.log = lambda values, step: calls.append(("log", step, values))  # type: ignore[attr-defined]
        module.finish = lambda: calls.append(("finish",))  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
        return calls

    return make


def test_wandb_gets_the_numbers_and_a_resumed_run_its_identity(toy, library):
    calls = library("wandb")
    config = toy(**{"train.loggers": ["wandb"], "train.steps": 2})
    run = train(config, quiet=True)
    assert [c[0] for c in calls] == ["init", "log", "log", "finish"]
    assert calls[0][1]["id"] is None
    assert calls[0][1]["config"]["train"]["steps"] == 2
    assert calls[1][1] == 1
    assert {"loss", "lr", "terms/a-b", "scales/a-b", "grad_norm"} <= set(calls[1][2])
    config.train.steps = 3
    train(config, quiet=True, resume=True)
    assert (calls[4][0], calls[4][1]["id"], calls[4][1]["resume"]) == ("init", "abc", "allow")
    assert (run / "wandb.id").read_text() == "abc"


def test_trackio_has_the_same_interface(toy, library):
    calls = library("trackio")
    train(toy(**{"train.loggers": ["trackio"], "train.steps": 1}), quiet=True)
    assert (calls[0][1]["project"], calls[0][1]["name"], calls[0][1]["resume"]) == ("anyclip", "run", "never")
    assert calls[-1] == ("finish",)


def test_a_logger_whose_library_is_absent_says_how_to_get_it(tmp_path):
    with pytest.raises(PluginError, match="pip install wandb"):
        create_loggers(["wandb"], tmp_path, {})


def test_tensorboard_holds_the_curve_once(toy):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    config = toy(**{"train.loggers": ["tensorboard"], "train.checkpoint_every": 4, "train.keep": 9})
    run = train(config, quiet=True)
    (run / "checkpoints" / "latest").write_text("step-00000004\n")
    train(config, quiet=True, resume=True)
    events = accumulator.EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    logged = [(e.step, e.value) for e in events.Scalars("loss")]
    assert [s for s, _ in logged] == list(range(1, 11))
    assert [v for _, v in logged] == pytest.approx([r["loss"] for r in read_metrics(run / "metrics.jsonl")])


def test_metrics_survive_whatever_was_written_before(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 2.0}\nnoise\n[1]\n{"step": 2}\n{"step": 3, "lo')
    file = MetricsFile(path, keep_until=1)
    file.write({"step": 2, "loss": float("nan"), "terms": {"x": float("inf")}})
    file.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 1, "loss": 2.0},
        {"step": 2, "loss": None, "terms": {"x": None}},
    ]


def test_a_full_disk_is_an_error_for_the_user():
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    file = MetricsFile.__new__(MetricsFile)
    file.path, file._file = Path("/dev/full"), open("/dev/full", "w")  # noqa: SIM115
    with pytest.raises(UserError, match="No space left on device"):
        file.write({"step": 1})


def test_nested_numbers_become_paths():
    assert flatten({"a": 1, "b": {"c": 2.0, "d": "x", "e": True}}) == {"a": 1, "b/c": 2.0}


def test_plain_lines_when_stderr_is_no_terminal(toy, capfd):
    train(toy(**{"train.steps": 2}))
    out, err = capfd.readouterr()
    lines = err.splitlines()
    figures = r"loss \d\.\d{4}  lr 1\.00e-03  \d+ samples/s  data wait \d+ %  [\d.]+ GiB"
    assert re.match(rf"step 1/2  {figures}  ETA 0:00:\d\d$", lines[0])
    assert "done: 2 steps" in err
    assert re.search(r"next:\n  anyclip eval .*run\n", err)
    assert out == ""


def test_quiet_is_silent_and_json_is_machine_readable(toy, capfd):
    train(toy(**{"train.steps": 2}), quiet=True)
    assert capfd.readouterr() == ("", "")
    run = train(toy(**{"train.steps": 2}), json=True, overwrite=True)
    out, err = capfd.readouterr()
    records = [json.loads(line) for line in out.splitlines()]
    assert [r.get("step") for r in records] == [1, 2, None]
    assert records[-1]["done"]["run"] == str(run)
    assert err == ""


def test_a_live_display_in_a_terminal(monkeypatch):
    reader, writer = pty.openpty()
    seen: list[bytes] = []

    def collect() -> None:
        with contextlib.suppress(OSError):  # the other end was closed
            while part := os.read(reader, 65536):
                seen.append(part)

    thread = threading.Thread(target=collect)
    thread.start()
    with os.fdopen(writer, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        display = create_display()
        display.start(0, 10)
        display.record(RECORD)
        display.step(5)
        display.note("something to know [not markup]")
        display.close()
        display.close()
    thread.join()
    text = b"".join(seen).decode()
    assert "something to know [not markup]" in text
    last = text.split("\r\x1b[2K")[-1]
    assert re.search(r"step 5/10 +loss 1.2500  lr 1.00e-03  812 samples/s  data wait 2 %", last)
    assert text.endswith("\x1b[?25h"), "the cursor is shown again"


def test_figures():
    assert describe(RECORD) == "loss 1.2500  lr 1.00e-03  812 samples/s  data wait 2 %  1.5 GiB  3 bad values"
    assert describe({**RECORD, "loss": None}).startswith("loss not finite")
    assert clock(3725.9) == "1:02:05"


def test_the_words_at_the_end():
    numbers = {"retrieval/a->b/R@1": 0.479, "retrieval/a->b/median_rank": 3.0, "retrieval/b->a/R@1": 0.4}
    assert headlines(numbers) == ["a->b R@1 47.9 %", "b->a R@1 40.0 %"]
    summary = {"steps": 5, "seconds": 61, "loss": 1.5, "eval": numbers, "run": "runs/x", "report": "runs/x/report.html"}
    words = closing_words(summary)
    assert words.startswith("done: 5 steps in 0:01:01, loss 1.5000\n  a->b R@1 47.9 %\n")
    assert words.endswith("anyclip demo runs/x")
