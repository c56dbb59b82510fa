"""Runs with labels, queues, teachers and heads: from YAML to a checkpoint and on."""

from __future__ import annotations

import pytest
from safetensors.torch import load_file

from anyclip.checkpoint import RunFolder
from anyclip.trainer import train
from anyclip.trainer.metrics import read_metrics

HEAD = {"hidden": 4, "dim": 4, "layers": 2}
DECLIP = [
    {"pair": ["a", "b"]},
    {"pair": ["a#1", "b"], "heads": {"b": "mlp"}},
    {"name": "nearest_neighbour", "pair": ["a", "b"], "options": {"size": 30}, "weight": 0.5},
    {"name": "simsiam", "options": {"streams": ["a", "a#1"], "head": HEAD, "predictor": {"hidden": 3}}},
    {"name": "ntxent", "options": {"streams": ["a", "a#1"], "head": HEAD}},
    {
        "name": "self_distillation",
        "options": {"stream": "a", "teacher_stream": "a#1", "mask_ratio": 0.0, "decay": 0.9, "head": {"hidden": 4}},
    },
]


def test_queues_and_teachers_live_in_checkpoints(toy, tmp_path):
    """A run that goes on from the middle equals one that never stopped, bit for bit."""
    changes = {"objectives": DECLIP, "train.checkpoint_every": 5, "train.keep": 9}
    whole = RunFolder(train(toy(**changes, **{"train.out": str(tmp_path / "whole")}), quiet=True))
    parts = toy(**changes, **{"train.out": str(tmp_path / "parts")})
    folder = RunFolder(train(parts, quiet=True))
    (folder.checkpoints / "latest").write_text("step-00000005\n")
    train(parts, quiet=True, resume=True)
    states = [load_file(f.checkpoint(10) / "objectives.safetensors") for f in (whole, folder)]
    assert states[0].keys() == states[1].keys()
    assert all((states[0][name] == states[1][name]).all() for name in states[0])
    assert {"2.bank", "2.pointer"} <= set(states[0])
    assert any(name.startswith("5.averages.a.blocks.0") for name in states[0])
    early = load_file(folder.checkpoint(5) / "objectives.safetensors")
    assert (early["2.bank"] != states[0]["2.bank"]).any()
    assert (early["5.averages.a.head.weight"] != states[0]["5.averages.a.head.weight"]).any()


@pytest.mark.parametrize("words", [True, False])
def test_several_positives_from_a_label_column(tmp_path, words):
    import numpy as np

    from anyclip.config import load_config

    g = np.random.default_rng(0)
    lines = ["a,b,class_name"]
    for row in range(24):
        for name in "ab":
            np.save(tmp_path / f"{name}{row}.npy", g.standard_normal(16).astype("float32"))
        lines.append(f"a{row}.npy,b{row}.npy,{'kind' if words else ''}{row % 5}")
    (tmp_path / "train.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "run.yaml").write_text(
        """
model: {dim: 8, towers: {a: toy/mlp, b: toy/mlp}}
objectives:
  - pair: [a, b]
    loss: {name: infonce, options: {multi_positive: true}}
    fields: {labels: class}
data:
  train: [{name: manifest, options: {path: train.csv}, fields: {class: class_name}}]
  batch_size: 8
  workers: 0
train: {steps: 3, log_every: 1, accelerator: cpu, devices: 1, threads: 1}
"""
    )
    run = train(load_config(tmp_path / "run.yaml", [f"train.out={tmp_path / 'run'}"]), quiet=True)
    losses = [r["loss"] for r in read_metrics(run / "metrics.jsonl") if "loss" in r]
    assert len(losses) == 3
    assert losses[-1] < losses[0] + 1


@pytest.mark.parametrize("similarity", ["filip", "frame_mean", "hyperbolic", "euclidean"])
def test_other_similarities_train_and_are_evaluated_as_trained(toy, tmp_path, similarity):
    """Towers of other widths: tokens are mapped by each stream's projection, in training and in evaluation."""
    data = {"name": "synthetic", "options": {"size": 40, "split": "val", "streams": {"b": {"options": {"size": 12}}}}}
    changes = {
        "objectives": [{"pair": ["a", "b"], "similarity": similarity}, {"name": "cyclic", "pair": ["a", "b"]}],
        "data.val": [data],
        "eval": [{"name": "retrieval"}],
        "train.steps": 4,
        "train.micro_batch": 5,
    }
    run = train(toy(**changes, **{"train.out": str(tmp_path / "run")}), quiet=True)
    (numbers,) = [r["eval"] for r in read_metrics(run / "metrics.jsonl") if "eval" in r]
    assert numbers["retrieval/a->b/mean_rank"] < 40
    assert similarity in (run / "report.html").read_text()
