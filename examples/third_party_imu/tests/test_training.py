"""The shipped config trains."""

import json
from pathlib import Path

import pytest

from anyclip.cli.main import run

CONFIG = Path(__file__).parent.parent / "configs" / "imu-text.yaml"
SMALL = ["data.batch_size=16", "data.workers=0", "data.val=[]", "eval=[]", "train.log_every=1"]
SMALL += ["train.steps=20", "train.validate_every=null", "train.checkpoint_every=null"]


def test_the_loss_falls(tmp_path):
    pytest.importorskip("anyclip_text")
    assert run(["train", str(CONFIG), f"train.out={tmp_path / 'run'}", *SMALL]) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert sum(losses[-3:]) < sum(losses[:3])
