"""No loader process outlives its trainer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from anyclip.data.workers import _start_time, alive

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")

TRAINER = """
import os, sys, time
from anyclip.config.schema import DataConfig, SourceConfig
from anyclip.data import StreamInfo, TrainData
from anyclip.testing.toy import ToyProcessor

if __name__ == "__main__":
    source = SourceConfig(name="synthetic", options={"size": 100})
    config = DataConfig(train=[source], batch_size=4, workers=2)
    train = TrainData(config, {"a": StreamInfo(ToyProcessor(16), "toy")}, seed=0)
    batches = train.batches()
    next(batches)
    print(*(worker.pid for worker in train._pool._iterator._workers), flush=True)
    if sys.argv[1] == "wait":
        time.sleep(600)
    elif sys.argv[1] == "raise":
        raise RuntimeError("as ordered")
"""


def start(folder: Path, what: str) -> tuple[subprocess.Popen, list[int]]:
    script = folder / "trainer.py"
    script.write_text(TRAINER)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(script), what], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
    )
    assert process.stdout is not None
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 2
    return process, pids


def family(folder: Path) -> list[int]:
    """Every process that was started for a script of this folder: trainer, workers, fork server, trackers."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in environment and _start_time(int(entry.name)):
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_killed_trainer_takes_its_workers_along(tmp_path, number, monkeypatch):
    monkeypatch.setenv("ANYCLIP_TEST_FAMILY", str(tmp_path))
    process, workers = start(tmp_path, "wait")
    assert len(family(tmp_path)) >= 3
    process.send_signal(number)
    # not reaped yet: a zombie must count as dead
    end = time.monotonic() + 10
    while time.monotonic() < end and family(tmp_path):
        time.sleep(0.05)
    left = family(tmp_path)
    process.wait()
    assert not left, f"alive after 10 s: {left} (workers {workers})"


@pytest.mark.slow
def test_a_trainer_that_fails_or_ends_without_closing_ends_quickly(tmp_path, monkeypatch):
    monkeypatch.setenv("ANYCLIP_TEST_FAMILY", str(tmp_path))
    for what, code in (("raise", 1), ("end", 0)):
        process, _ = start(tmp_path, what)
        assert process.wait(timeout=30) == code
        end = time.monotonic() + 10
        while time.monotonic() < end and family(tmp_path):
            time.sleep(0.05)
        assert not family(tmp_path)


def test_alive_knows_a_process_by_its_start():
    own = os.getpid()
    assert alive(own, _start_time(own))
    assert not alive(own, "1")  # the number was given to another process
    done = subprocess.Popen([sys.executable, "-c", "pass"])
    born = _start_time(done.pid)
    time.sleep(1)
    assert not alive(done.pid, born)  # a zombie: not waited for yet
    done.wait()
    assert not alive(done.pid, born)
