"""Three streams with a third of the values missing, mixed from two manifests, on two processes: from YAML to resume."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from anyclip.checkpoint import RunFolder, load_tensors
from anyclip.trainer.metrics import read_metrics

SIZES = {"a": 16, "b": 12, "c": 10}


def write_manifest(path, rows, streams, seed):
    """Inline vectors; a third of the values is missing, each by itself."""
    rng = np.random.default_rng(seed)
    with open(path, "w") as file:
        for i in range(rows):
            row = {"id": f"{seed}-{i}"}
            for stream in streams:
                if rng.random() > 1 / 3:
                    row[stream] = [round(float(x), 4) for x in rng.standard_normal(SIZES[stream])]
            file.write(json.dumps(row) + "\n")


def settings(tmp_path, mixing):
    write_manifest(tmp_path / "one.jsonl", 61, "abc", 1)
    write_manifest(tmp_path / "two.jsonl", 40, "bc", 2)
    sources = [{"name": "manifest", "options": {"path": str(tmp_path / f"{n}.jsonl")}} for n in ("one", "two")]
    sources[1]["weight"] = 0.5
    towers = {s: {"name": "toy/mlp", "options": {"size": n, "dropout": 0.1, "noise": 0.1}} for s, n in SIZES.items()}
    return {
        "model.towers": towers,
        "objectives": [
            {"pair": ["a", "b"], "negatives": "modality", "scale": {"share": "one"}},
            {"pair": ["b", "c"], "loss": "siglip"},
            {"pair": ["a", "c"], "start": 3, "ramp": 4, "negatives": "all", "scale": {"share": "one"}},
            {"pair": ["b", "b#1"], "weight": 0.1},
        ],
        "pair_reduction": "mean",
        "data.train": sources,
        "data.mixing": mixing,
        "data.batch_size": 12,
        "data.workers": 1,
        "train.devices": 2,
        "train.strategy": "ddp",
        "train.steps": 8,
        "train.checkpoint_every": 2,
        "train.keep": 9,
    }


@pytest.mark.parametrize("mixing", ["sample", pytest.param("batch", marks=pytest.mark.slow)])
def test_trains_and_resumes_bit_for_bit(cli, tmp_path, mixing):
    changes = settings(tmp_path, mixing)
    code, _, err = cli(**changes).finish()
    assert code == 0, err
    run, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(run, other)
    for step in (4, 6, 8):  # as if the run had been killed after its second checkpoint
        shutil.rmtree(other / "checkpoints" / f"step-{step:08d}")
    (other / "checkpoints" / "latest").write_text("step-00000002\n")
    code, _, err = cli("--resume", **changes, **{"train.out": str(other)}).finish()
    assert code == 0, err
    first, second = (read_metrics(folder / "metrics.jsonl") for folder in (run, other))
    assert [r["step"] for r in first] == list(range(1, 9))
    same = ("step", "loss", "terms", "scales", "grad_norm", "samples")
    assert [{k: r[k] for k in same} for r in first] == [{k: r[k] for k in same} for r in second]
    for name in ("model", "objectives", "optimizer"):
        one, two = (load_tensors(RunFolder(folder).latest() / f"{name}.safetensors") for folder in (run, other))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one)
    assert "a-c" not in first[2]["terms"]
    assert "a-c" in first[3]["terms"]
