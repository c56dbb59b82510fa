"""Two processes measure what one does, whatever part of the rows each has."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

import pytest

from anyclip.config import dump_config
from anyclip.evaluation import run_evaluations
from anyclip.model import build_model

WORKER = """
import json, sys
from dataclasses import asdict
import torch
from lightning_fabric import Fabric

def work(fabric, *paths):
    from anyclip.config import load_config
    from anyclip.evaluation import run_evaluations
    from anyclip.model import build_model
    for path in paths:
        config = load_config(path)
        results = run_evaluations(build_model(config.model, seed=0), config, fabric=fabric)
        with open(f"{path}.{fabric.global_rank}", "w") as file:
            json.dump([asdict(r) for r in results], file)

if __name__ == "__main__":
    torch.set_num_threads(1)
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp_spawn")
    fabric.launch(work, *sys.argv[1:])
"""


@pytest.mark.slow
def test_two_processes_agree_with_one(toy_config, vectors, tmp_path):
    paths, _ = vectors(37)
    many = [{"left": p, "right": paths[i - i % 3]} for i, p in enumerate(paths)]
    many += [{"left": "gone.npy", "right": paths[0]}, {"right": paths[1]}]
    configs = {}
    for name, rows in {"many": many, "one": many[:1]}.items():  # one row: a process has none
        configs[tmp_path / f"{name}.yaml"] = toy_config(rows, name=f"{name}.jsonl")
    for path, config in configs.items():
        path.write_text(dump_config(config))
    (tmp_path / "work.py").write_text(WORKER)
    arguments = [sys.executable, str(tmp_path / "work.py"), *map(str, configs)]
    subprocess.run(arguments, check=True, timeout=200, capture_output=True)
    for path, config in configs.items():
        results = run_evaluations(build_model(config.model, seed=0), config)
        (expected,) = json.loads(json.dumps([asdict(r) for r in results]))
        for rank in range(2):
            (found,) = json.loads(path.with_name(f"{path.name}.{rank}").read_text())
            assert {k: found[k] for k in ("numbers", "intervals", "info")} == {
                k: expected[k] for k in ("numbers", "intervals", "info")
            }
