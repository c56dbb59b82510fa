"""A run reads its data through this reader."""

import json

from anyclip.cli.main import run
from anyclip_myplugin.example import write

CONFIG = """\
model:
  dim: 16
  towers: {{left: {{name: toy/mlp}}, right: {{name: toy/mlp}}}}
objectives: [{{pair: [left, right], loss: infonce}}]
data:
  train: [{{name: myreader, options: {{path: {path}}}}}]
  batch_size: 16
  workers: 0
train: {{steps: 12, log_every: 1, out: {out}}}
"""


def test_the_loss_falls(tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text(CONFIG.format(out=tmp_path / "run", **write(tmp_path)))
    assert run(["train", str(config)]) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert sum(losses[-3:]) < sum(losses[:3])
