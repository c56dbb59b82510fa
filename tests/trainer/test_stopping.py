"""Signals: a checkpoint and a clean end, whatever the run is doing."""

from __future__ import annotations

import os
import signal
import time

import pytest

from anyclip.checkpoint import RunFolder
from anyclip.trainer.metrics import read_metrics
from anyclip.trainer.signals import StopSignals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_run_with_a_checkpoint(cli, number, code):
    """The signal reaches the whole process group, as from a terminal or a scheduler: fork server and workers too."""
    process = cli(**{"train.steps": 100_000, "data.workers": 1})
    process.wait_for(5)
    os.killpg(process.process.pid, number)
    found, _, err = process.finish()
    assert found == code, err
    latest = RunFolder(process.run).latest()
    last = max(r["step"] for r in read_metrics(process.run / "metrics.jsonl"))
    assert latest == RunFolder(process.run).checkpoint(last)
    assert f"stopped after step {last} of 100000" in err
    assert f"next: anyclip train {process.run} --resume" in err
    assert "Traceback" not in err
    end = time.monotonic() + 10
    while process.others() and time.monotonic() < end:
        time.sleep(0.1)
    assert not process.others()


def test_a_second_interrupt_ends_at_once(monkeypatch):
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)
    with StopSignals(tell=False) as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert (signals.received, codes) == (signal.SIGINT, [])
        os.kill(os.getpid(), signal.SIGINT)
        assert codes == [130]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_scheduler_that_repeats_its_signal_does_not_cut_the_checkpoint(monkeypatch):
    monkeypatch.setattr(os, "_exit", lambda code: pytest.fail("ended"))
    with StopSignals(tell=False) as signals:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received == signal.SIGTERM
