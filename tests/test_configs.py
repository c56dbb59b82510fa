"""Every shipped config is checked and trains two steps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


def small(config: Path, table: Path, out: Path) -> list[str]:
    """Overrides: two steps of eight rows; tables of files become the small one."""
    from anyclip.config import load_config

    overrides = [f"train.out={out}", "train.epochs=null", "train.steps=2", "schedule.warmup_steps=0"]
    overrides += ["data.batch_size=8", "data.workers=0", "train.threads=1", "train.validate_every=null"]
    data = load_config(config).data
    for part, sources in (("train", data.train), ("val", data.val)):
        for i, source in enumerate(sources):
            if source.name == "manifest":
                overrides.append(f"data.{part}.{i}.options.path={table}")
            if source.name == "synthetic":
                overrides.append(f"data.{part}.{i}.options.size=16")
    return overrides


@pytest.mark.parametrize("config", CONFIGS, ids=lambda p: p.stem)
def test_config_trains(config: Path, tmp_path: Path, picture_table, anyclip_command):
    out = tmp_path / "run"
    overrides = small(config, picture_table(tmp_path), out)
    anyclip_command("check", str(config), *overrides)
    anyclip_command("train", str(config), *overrides, "--quiet")
    steps = [json.loads(line).get("step") for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert max(s for s in steps if s is not None) == 2
    assert (out / "report.html").stat().st_size > 1000
