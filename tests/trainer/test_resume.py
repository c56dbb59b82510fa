"""A run that was stopped goes on as if it had not been, or is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from anyclip.checkpoint import RunFolder
from anyclip.errors import CheckpointError, UserError
from anyclip.trainer import train
from anyclip.trainer.metrics import read_metrics
from anyclip.trainer.resume import MAY_CHANGE

ROOT = Path(__file__).parents[2]


def losses(run: Path) -> list[tuple[int, float]]:
    return [(r["step"], r["loss"]) for r in read_metrics(run / "metrics.jsonl") if "loss" in r]


def weights(run: Path) -> dict[str, bytes]:
    folder = RunFolder(run).latest()
    assert folder is not None
    return {p.name: p.read_bytes() for p in folder.glob("*.safetensors")}


def test_kills_leave_no_trace_in_the_curve_and_the_weights():
    """SIGKILL at random steps, mid-epoch, two workers, then another number of them; no loader process survives."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "resume.py"), "--kills", "2", "--steps", "30"],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 bit for bit" in done.stdout


@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_resumed_run_equals_one_that_never_stopped(toy, tmp_path, ema):
    changes = {"train.ema": ema, "train.log_every": 4, "train.checkpoint_every": 3, "optimizer.layer_decay": 0.8}
    train(toy(**changes, **{"train.out": str(tmp_path / "whole")}), quiet=True)
    parts = toy(**changes, **{"train.out": str(tmp_path / "parts")})
    folder = RunFolder(train(parts, quiet=True))
    # the state of a process that died after step 7 or so: checkpoints 9 and 10 were never written
    (folder.checkpoints / "latest").write_text("step-00000006\n")
    assert not folder.checkpoint(6).exists(), "keep=2 leaves 9 and 10"
    changes["train.keep"] = 9
    parts = toy(**changes, **{"train.out": str(tmp_path / "parts")})
    train(parts, quiet=True, overwrite=True)
    (folder.checkpoints / "latest").write_text("step-00000006\n")
    train(parts, quiet=True, resume=True)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert [s for s, _ in losses(tmp_path / "parts")] == [4, 8, 10]
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")
    assert len(weights(tmp_path / "whole")) == (4 if ema else 3)


def test_a_run_without_its_checkpoint_would_differ(toy, tmp_path):
    """The comparison above can fail."""
    one = train(toy(**{"train.out": str(tmp_path / "one")}), quiet=True)
    two = train(toy(**{"train.out": str(tmp_path / "two"), "train.seed": 1}), quiet=True)
    assert losses(one) != losses(two)


def test_a_torn_last_line_and_later_lines_are_dropped(toy):
    config = toy(**{"train.checkpoint_every": 5, "train.keep": 5})
    run = train(config, quiet=True)
    before = losses(run)
    (run / "checkpoints" / "latest").write_text("step-00000005\n")
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"step": 11, "loss": 3.0}\n{"step": 12, "lo')
    train(config, quiet=True, resume=True)
    assert losses(run) == before


def test_a_missing_pointer_falls_back_to_the_newest_checkpoint(toy):
    run = train(toy(**{"train.checkpoint_every": 4}), quiet=True)
    (run / "checkpoints" / "latest").unlink()
    assert RunFolder(run).latest() == run / "checkpoints" / "step-00000010"


def test_an_existing_run_is_neither_lost_nor_continued_by_accident(toy):
    config = toy(**{"train.steps": 2})
    run = train(config, quiet=True)
    with pytest.raises(UserError, match=r"there is a run in this folder.*--resume.*--overwrite"):
        train(config, quiet=True)
    train(config, quiet=True, overwrite=True)
    assert [s for s, _ in losses(run)] == [1, 2]


def test_a_folder_of_other_files_is_never_deleted(toy, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("all of it")
    with pytest.raises(UserError, match="holds files that are no run"):
        train(toy(), quiet=True, overwrite=True)
    assert (tmp_path / "run" / "thesis.tex").read_text() == "all of it"


def test_resume_without_a_run_is_an_error(toy):
    with pytest.raises(UserError, match="no run to resume"):
        train(toy(), quiet=True, resume=True)


def test_a_changed_config_is_refused_and_every_key_is_named(toy):
    train(toy(**{"train.steps": 2}), quiet=True)
    changed = toy(**{"train.steps": 2, "optimizer.lr": 0.5, "model.towers.a.options.dropout": 0.0})
    with pytest.raises(UserError) as error:
        train(changed, quiet=True, resume=True)
    assert "optimizer.lr: 0.001 -> 0.5" in str(error.value)
    assert "model.towers.a.options.dropout: 0.1 -> 0.0" in str(error.value)


def test_length_workers_and_reports_may_change(toy):
    train(toy(**{"train.steps": 2}), quiet=True)
    run = train(toy(**{"train.steps": 4, "data.workers": 1, "train.log_every": 2}), quiet=True, resume=True)
    assert [s for s, _ in losses(run)] == [1, 2, 4]
    assert "steps: 4" in (run / "config.yaml").read_text()


def test_changed_data_is_refused(toy):
    run = train(toy(**{"train.steps": 2}), quiet=True)
    state = run / "checkpoints" / "step-00000002" / "state.json"
    values = json.loads(state.read_text())
    state.write_text(json.dumps({**values, "data": "0" * 32}))
    with pytest.raises(CheckpointError, match="the training data changed"):
        train(toy(**{"train.steps": 4}), quiet=True, resume=True)


def test_another_number_of_threads_is_said(toy, capfd):
    train(toy(**{"train.steps": 2}), quiet=True)
    train(toy(**{"train.steps": 3, "train.threads": 2}), resume=True)
    assert "threads: 1 -> 2 (train.threads sets it): the same run up to rounding" in capfd.readouterr().err


def test_a_complete_run_resumes_to_itself(toy):
    run = train(toy(), quiet=True)
    before, curve = weights(run), losses(run)
    train(toy(), quiet=True, resume=True)
    assert (weights(run), losses(run)) == (before, curve)


def test_what_may_change_is_spelt_as_in_the_config():
    from dataclasses import fields

    from anyclip.config.schema import Config, DataConfig, TrainConfig

    known = {f.name for f in fields(Config)}
    known |= {f"train.{f.name}" for f in fields(TrainConfig)} | {f"data.{f.name}" for f in fields(DataConfig)}
    assert set(MAY_CHANGE) <= known


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sampler_that_learns_goes_on_where_it_was(toy, tmp_path, workers):
    """Clusters from the embeddings of earlier passes: with loader workers, and in the middle of a pass."""
    changes = {
        "data.train.0.options.size": 36,
        "data.sampler": {"name": "clusters", "options": {"streams": ["a", "b"], "lag": 3}},
        "data.workers": workers,
        "train.checkpoint_every": 7,
        "train.keep": 9,
    }
    train(toy(**changes, **{"train.out": str(tmp_path / "whole")}), quiet=True)
    parts = toy(**changes, **{"train.out": str(tmp_path / "parts")})
    folder = RunFolder(train(parts, quiet=True))
    (folder.checkpoints / "latest").write_text("step-00000007\n")
    train(parts, quiet=True, resume=True)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")
    assert "sampler.safetensors" in weights(tmp_path / "whole")
    shuffled = toy(**{**changes, "data.sampler": None}, **{"train.out": str(tmp_path / "shuffled")})
    train(shuffled, quiet=True)
    assert losses(tmp_path / "shuffled")[-1] != losses(tmp_path / "whole")[-1]


def test_micro_batches_see_the_same_clusters(toy, tmp_path):
    changes = {"data.train.0.options.size": 36, "data.sampler": {"name": "clusters", "options": {"lag": 1}}}
    found = []
    for micro in (None, 5):
        run = tmp_path / f"micro-{micro}"
        towers = {"model.towers.a.options": {}, "model.towers.b.options": {"size": 12, "width": 24}}
        train(toy(**changes, **towers, **{"train.out": str(run), "train.micro_batch": micro}), quiet=True)
        found.append([loss for _, loss in losses(run)])
    assert found[0] == pytest.approx(found[1], rel=1e-4)
