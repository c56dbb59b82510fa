"""What a run does step by step: records, skipped steps, micro-batches, averages, groups, first weights."""

from __future__ import annotations

import json
import math

import pytest
import torch

import anyclip.trainer.fit as fit
from anyclip.checkpoint import RunFolder, load_tensors, open_model
from anyclip.config.schema import ScheduleConfig
from anyclip.errors import CheckpointError, UserError
from anyclip.trainer import train
from anyclip.trainer.metrics import read_metrics
from anyclip.trainer.schedule import rate

SCENES = {"size": 30, "split": "val", "streams": {"b": {"options": {"size": 12, "seed": 1}}}}
VAL = {"data.val": [{"name": "synthetic", "options": SCENES}], "eval": [{"name": "retrieval", "pair": ["a", "b"]}]}


def final(run, name: str = "model") -> dict[str, torch.Tensor]:
    folder = RunFolder(run).latest()
    assert folder is not None
    return load_tensors(folder / f"{name}.safetensors")


def test_every_log_step_has_one_complete_record(toy):
    run = train(toy(**{"optimizer.lr": 0.01, "train.log_every": 5, "train.steps": 12}), quiet=True)
    records = read_metrics(run / "metrics.jsonl")
    assert [r["step"] for r in records] == [5, 10, 12]
    schedule = ScheduleConfig(name="cosine", warmup_steps=1)
    for r in records:
        assert r["lr"] == pytest.approx(0.01 * rate(r["step"] - 1, 12, schedule))
        assert r["loss"] == r["terms"]["a-b"] > 0
        assert 1 < r["scales"]["a-b"] <= 100
        assert r["grad_norm"] > 0
        assert r["samples_per_s"] > 0
        assert 0 <= r["data_wait"] <= 1
        assert (r["bad"], r["skipped"], r["samples"]) == (0, 0, 12 * r["step"])
        assert r["memory_mib"] > 10


def test_the_logged_loss_is_the_mean_since_the_last_line(toy, tmp_path):
    each = read_metrics(train(toy(**{"train.out": str(tmp_path / "1")}), quiet=True) / "metrics.jsonl")
    every5 = toy(**{"train.log_every": 5, "train.out": str(tmp_path / "5")})
    means = read_metrics(train(every5, quiet=True) / "metrics.jsonl")
    losses = [r["loss"] for r in each]
    assert [m["loss"] for m in means] == pytest.approx([sum(losses[:5]) / 5, sum(losses[5:]) / 5], rel=1e-12)


def test_the_run_folder_is_complete(toy):
    run = train(toy(**{**VAL, "train.ema": 0.9}), quiet=True)
    assert {p.name for p in run.iterdir()} >= {
        "config.yaml", "versions.json", "metrics.jsonl", "checkpoints", "assets", "report.html", "eval",
    }  # fmt: skip
    versions = json.loads((run / "versions.json").read_text())
    assert versions["torch"] == torch.__version__.split("+")[0] or versions["torch"] == torch.__version__
    assert {"python", "anyclip"} <= set(versions)
    assert {p.name for p in RunFolder(run).checkpoint(10).iterdir()} == {
        "model.safetensors", "ema.safetensors", "objectives.safetensors", "optimizer.safetensors", "state.json",
    }  # fmt: skip


def test_old_checkpoints_are_pruned(toy):
    run = train(toy(**{"train.checkpoint_every": 2, "train.keep": 3}), quiet=True)
    assert RunFolder(run).steps() == [6, 8, 10]
    assert (run / "checkpoints" / "latest").read_text() == "step-00000010\n"


@pytest.mark.parametrize("loss", ["infonce", "siglip"])
def test_micro_batches_change_memory_not_the_result(toy, tmp_path, loss):
    quiet = {f"model.towers.{s}.options.dropout": 0.0 for s in "ab"} | {"objectives.0.loss": loss}
    quiet |= {"train.precision": "64-true", "train.clip_grad_norm": 0.5}
    one = train(toy(**quiet, **{"train.out": str(tmp_path / "one")}), quiet=True)
    cut = train(toy(**quiet, **{"train.out": str(tmp_path / "cut"), "train.micro_batch": 5}), quiet=True)
    for name in ("model", "objectives"):
        for key, value in final(one, name).items():
            torch.testing.assert_close(final(cut, name)[key], value, rtol=1e-9, atol=1e-12)


def fail_at(monkeypatch, steps: set[int]) -> None:
    """The gradient of these steps (from 0) is not finite."""
    original = fit.train_step

    def broken(module, batch, *, fabric, step):
        output = original(module, batch, fabric=fabric, step=step)
        if step in steps:
            next(p for p in module.parameters() if p.grad is not None).grad.view(-1)[0] = math.nan
        return output

    monkeypatch.setattr(fit, "train_step", broken)


def test_a_step_that_is_not_finite_is_skipped_and_counted(toy, monkeypatch):
    fail_at(monkeypatch, {3, 7})
    run = train(toy(**{"train.ema": 0.5}), quiet=True)
    records = read_metrics(run / "metrics.jsonl")
    assert [r["skipped"] for r in records] == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
    assert [r["step"] for r in records if r["loss"] is None] == [4, 8]
    assert all(t.isfinite().all() for kind in ("model", "ema", "optimizer") for t in final(run, kind).values())
    state = json.loads((RunFolder(run).checkpoint(10) / "state.json").read_text())
    assert (state["skipped"], state["in_row"]) == (2, 0)


def test_too_many_in_a_row_stop_the_run(toy, monkeypatch):
    fail_at(monkeypatch, {1, 5, 6, 7, 8})
    with pytest.raises(UserError, match=r"not finite in 3 steps in a row \(6 to 8\)") as error:
        train(toy(**{"train.max_nonfinite": 3, "train.checkpoint_every": 5}), quiet=True)
    assert "step-00000005, is from before" in str(error.value)


def test_a_skipped_step_changes_nothing(toy, tmp_path, monkeypatch):
    still = {"schedule.name": "constant", "train.checkpoint_every": 3, "train.keep": 9}
    fail_at(monkeypatch, {3})
    run = train(toy(**still, **{"train.steps": 4}), quiet=True)
    for name in ("model.safetensors", "objectives.safetensors", "optimizer.safetensors"):
        folder = RunFolder(run)
        assert (folder.checkpoint(3) / name).read_bytes() == (folder.checkpoint(4) / name).read_bytes()


def test_the_average_is_what_is_evaluated_and_opened(toy):
    run = train(toy(**{**VAL, "train.ema": 0.5, "train.validate_every": 5}), quiet=True)
    averaged, _ = open_model(run)
    last, _ = open_model(run, ema=False)
    name = "towers.a.head.weight"
    assert torch.equal(averaged.state_dict()[name], final(run, "ema")[name])
    assert torch.equal(last.state_dict()[name], final(run)[name])
    assert not torch.equal(averaged.state_dict()[name], last.state_dict()[name])
    from anyclip.config import load_config
    from anyclip.evaluation import run_evaluations

    config = load_config(run / "config.yaml")
    again = {f"{r.name}/{k}": v for r in run_evaluations(averaged, config) for k, v in r.numbers.items()}
    logged = [r["eval"] for r in read_metrics(run / "metrics.jsonl") if "eval" in r]
    assert len(logged) == 2
    assert logged[-1] == pytest.approx(again)


def test_validation_leaves_training_as_it_was(toy, tmp_path):
    plain = train(toy(**{"train.out": str(tmp_path / "plain")}), quiet=True)
    changes = {**VAL, "train.validate_every": 3, "train.out": str(tmp_path / "validated"), "train.ema": 0.9}
    validated = train(toy(**changes), quiet=True)
    for key, value in final(plain).items():
        assert torch.equal(final(validated)[key], value)


def test_frozen_groups_keep_their_weights(toy, tmp_path):
    config = toy(**{"optimizer.groups": [{"match": r"towers\.a\.blocks", "freeze": True}], "train.checkpoint_every": 1})
    config.train.keep = 20
    run = train(config, quiet=True)
    first, last = (load_tensors(RunFolder(run).checkpoint(s) / "model.safetensors") for s in (1, 10))
    changed = {name for name in first if not torch.equal(first[name], last[name])}
    assert not [n for n in changed if n.startswith("towers.a.blocks")]
    assert "towers.a.head.weight" in changed


def test_a_tower_starts_from_another_run(toy, tmp_path):
    source = train(toy(**{"train.out": str(tmp_path / "source")}), quiet=True)
    for path in (source, RunFolder(source).checkpoint(10), RunFolder(source).checkpoint(10) / "model.safetensors"):
        frozen = {"model.towers.a.init": str(path), "model.towers.a.freeze": True, "train.steps": 1}
        run = train(toy(**frozen), quiet=True, overwrite=True)
        for name, value in final(source).items():
            if name.startswith("towers."):
                assert torch.equal(final(run)[name], value) == name.startswith("towers.a.")


def test_clipping_limits_the_step(toy, tmp_path):
    sgd = {"optimizer": {"name": "sgd", "lr": 1.0, "momentum": 0.0, "weight_decay": 0.0}, "train.steps": 1}
    sgd |= {"schedule": {"name": "constant"}, "train.out": str(tmp_path / "clipped")}
    limit = 1e-3
    run = train(toy(**sgd, **{"train.clip_grad_norm": limit}), quiet=True)
    from anyclip.model import build_model
    from anyclip.objectives import build_objectives

    config = toy(**sgd)
    model = build_model(config.model, seed=0)
    start = {**model.state_dict(), **build_objectives(config, model).state_dict()}
    moved = torch.stack([(v - start[k]).norm() for k, v in {**final(run), **final(run, "objectives")}.items()]).norm()
    assert moved.item() == pytest.approx(limit, rel=1e-3)


def test_a_compiled_run_keeps_its_tensor_names(toy, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, *a, **k: compiled.append(type(self).__name__))
    run = train(toy(**{"train.compile": True, "train.steps": 2}), quiet=True)
    assert compiled == ["ToyTower", "ToyTower"]
    assert not [n for n in final(run) if "_orig_mod" in n]


@pytest.mark.parametrize("file", ["model.safetensors", "objectives.safetensors", "optimizer.safetensors"])
def test_a_pickle_in_a_checkpoint_is_refused_and_never_run(toy, tmp_path, file):
    import os
    import pickle

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/owned",)

    run = train(toy(**{"train.steps": 2}), quiet=True)
    (RunFolder(run).checkpoint(2) / file).write_bytes(pickle.dumps({"x": Evil()}))
    with pytest.raises(CheckpointError, match="cannot be read"):
        train(toy(**{"train.steps": 4}), quiet=True, resume=True)
    if file == "model.safetensors":
        with pytest.raises(CheckpointError, match="cannot be read"):
            open_model(run)
    assert not (tmp_path / "owned").exists()


def test_too_many_broken_values_stop_the_run(toy, tmp_path):
    rows = [{"a": [0.1 * i] * (16 if i % 2 else 3), "b": [0.2 * i] * 12} for i in range(400)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    data = [{"name": "manifest", "options": {"path": "rows.jsonl"}}]
    with pytest.raises(UserError, match=r"of stream a are broken, more than data.max_bad = 0.1"):
        train(toy(**{"data.train": data, "train.steps": 60}), quiet=True)
    run = train(toy(**{"data.train": data, "data.max_bad": 0.9}), quiet=True, overwrite=True)
    bad = read_metrics(run / "metrics.jsonl")[-1]["bad"]
    assert 20 < bad < 100
    assert "the tower takes 16" in (run / "quarantine.jsonl").read_text()
