"""Small runs on synthetic toy data: in this process, or by the command line in another."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from anyclip.config import Config, config_from_dict
from anyclip.trainer.metrics import read_metrics

TOY = {
    "model": {
        "dim": 8,
        "towers": {
            "a": {"name": "toy/mlp", "options": {"dropout": 0.1, "noise": 0.1}},
            "b": {"name": "toy/mlp", "options": {"size": 12, "width": 24, "dropout": 0.1, "noise": 0.1}},
        },
    },
    "objectives": [{"pair": ["a", "b"]}],
    "data": {
        "train": [
            {
                "name": "synthetic",
                "options": {"size": 100, "streams": {"b": {"missing": 0.2, "options": {"size": 12, "seed": 1}}}},
            }
        ],
        "batch_size": 12,
        "workers": 0,
    },
    "optimizer": {"lr": 1e-3},
    "schedule": {"name": "cosine", "warmup_steps": 1},
    "train": {"steps": 10, "log_every": 1, "accelerator": "cpu", "devices": 1, "threads": 1},
}


@pytest.fixture
def plain_config(tmp_path):
    """`plain_config({"train.steps": 5})` -> the values of a config file."""
    return lambda changes: plain(tmp_path, changes)


@pytest.fixture
def toy(tmp_path):
    """`toy(**{"train.steps": 5})` -> a Config whose run folder is `tmp_path/run`."""

    def make(**changes: Any) -> Config:
        config = config_from_dict(plain(tmp_path, changes))
        config.base = str(tmp_path)
        return config

    return make


@pytest.fixture
def cli(tmp_path):
    """`cli(**changes)` -> a started `anyclip train` process with .run, .wait_for(step), .finish()."""
    started: list[Process] = []

    def start(*arguments: str, **changes: Any) -> Process:
        path = tmp_path / "toy.yaml"
        with open(path, "w") as file:
            YAML(typ="safe").dump(plain(tmp_path, changes), file)
        started.append(Process([str(path), *arguments], Path(changes.get("train.out", tmp_path / "run"))))
        return started[-1]

    yield start
    for process in started:
        process.end()


def plain(tmp_path: Path, changes: dict[str, Any]) -> dict[str, Any]:
    values = copy.deepcopy(TOY)
    for key, value in {"train.out": str(tmp_path / "run"), **changes}.items():
        *path, last = key.split(".")
        place: Any = values
        for part in path:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        place[last] = value
    return values


class Process:
    """An `anyclip train` process, alone in its session so that nothing of it can be left behind."""

    def __init__(self, arguments: list[str], run: Path):
        self.run = run
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "anyclip.cli.main", "train", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )

    def wait_for(self, step: int, seconds: float = 120) -> None:
        """Until the step is in metrics.jsonl."""
        end = time.monotonic() + seconds
        while not any(r["step"] >= step for r in read_metrics(self.run / "metrics.jsonl")):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end, f"no step {step} after {seconds} s"
            time.sleep(0.01)

    def finish(self, seconds: float = 120) -> tuple[int, str, str]:
        """(exit code, stdout, stderr)"""
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err

    def others(self) -> list[int]:
        """Processes of the same session that are still alive, whoever their parent is."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != self.process.pid:
                try:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[3]) == self.process.pid and fields[0] not in "ZX":
                    found.append(int(entry.name))
        return found

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self.others():
            os.kill(pid, signal.SIGKILL)
