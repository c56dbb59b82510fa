"""Run the command line inside this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from anyclip.cli.main import run

CONFIG = """\
model:
  dim: 16
  towers:
    a: {name: toy/mlp, options: {width: 8, dropout: 0.1}, projection: mlp}
    b: {name: toy/mlp, freeze: true}
objectives:
  - {pair: [a, b], loss: infonce}
data:
  train:
    - {name: synthetic, options: {size: 100}}
    - {name: synthetic, options: {size: 40}, weight: 0.5}
  batch_size: 16
train: {steps: 50, ema: 0.9, devices: 1, accelerator: cpu}
"""


@dataclass
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def anyclip(capsys) -> Callable[..., Done]:
    def call(*arguments: object) -> Done:
        capsys.readouterr()
        code = run([str(a) for a in arguments])
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return call


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(CONFIG)
    return path
