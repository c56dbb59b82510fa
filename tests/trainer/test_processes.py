"""Several processes from one command: the same run up to rounding, and nothing left when it ends."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
import torch

from anyclip.checkpoint import RunFolder, load_tensors
from anyclip.trainer import train
from anyclip.trainer.metrics import read_metrics

# no dropout: its draws depend on how the batch is cut
SAME = {f"model.towers.{s}.options.dropout": 0.0 for s in "ab"} | {"train.clip_grad_norm": 1.0, "train.ema": 0.9}
SCENES = {"size": 31, "split": "val", "streams": {"b": {"options": {"size": 12, "seed": 1}}}}
SAME |= {"data.val": [{"name": "synthetic", "options": SCENES}], "eval": [{"name": "retrieval"}]}


def compare(run: Path, other: Path) -> None:
    """Equal to rounding: every record's loss, every tensor, every evaluation."""
    a, b = (read_metrics(r / "metrics.jsonl") for r in (run, other))
    assert [r["step"] for r in a] == [r["step"] for r in b]
    for one, two in zip(a, b):
        if "eval" in one:
            assert one["eval"] == pytest.approx(two["eval"])
        else:
            assert one["loss"] == pytest.approx(two["loss"], rel=1e-5)
            assert one["grad_norm"] == pytest.approx(two["grad_norm"], rel=1e-4)
    for name in ("model", "objectives", "ema"):
        one, two = (load_tensors(RunFolder(r).latest() / f"{name}.safetensors") for r in (run, other))
        assert one.keys() == two.keys()
        for key in one:
            torch.testing.assert_close(one[key], two[key], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_from_one_command_equal_one(cli, toy, tmp_path, strategy):
    one = train(toy(**SAME, **{"train.out": str(tmp_path / "one")}), quiet=True)
    two = {"train.out": str(tmp_path / "two"), "train.devices": 2, "train.strategy": strategy, "data.workers": 1}
    process = cli(**SAME, **two, **{"train.checkpoint_every": 4, "train.keep": 5})
    code, _, err = process.finish()
    assert code == 0, err
    assert err.count("done: 10 steps") == 1
    assert err.count("step 4/10") == 1
    compare(one, tmp_path / "two")
    wait_until_alone(process)
    # any number of processes goes on with the checkpoint: here one
    (tmp_path / "two" / "checkpoints" / "latest").write_text("step-00000004\n")
    alone = toy(**SAME, **{"train.out": str(tmp_path / "two"), "train.checkpoint_every": 4, "train.keep": 5})
    train(alone, quiet=True, resume=True)
    compare(one, tmp_path / "two")


def test_a_sampler_that_learns_sees_the_same_on_two_processes(cli, toy, tmp_path):
    """Clusters come from the embeddings of all processes, so that each asks for the same rows."""
    learns = {"data.train.0.options.size": 36, "data.sampler": {"name": "clusters", "options": {"lag": 3}}}
    one = train(toy(**SAME, **learns, **{"train.out": str(tmp_path / "one")}), quiet=True)
    two = {"train.out": str(tmp_path / "two"), "train.devices": 2, "train.strategy": "ddp", "data.workers": 1}
    code, _, err = cli(**SAME, **learns, **two).finish()
    assert code == 0, err
    compare(one, tmp_path / "two")


@pytest.mark.slow
def test_a_sharded_run_resumes_another_number_of_processes(cli, toy, tmp_path):
    more = {"train.checkpoint_every": 4, "train.keep": 5}
    one = train(toy(**SAME, **more, **{"train.out": str(tmp_path / "one")}), quiet=True)
    other = train(toy(**SAME, **more, **{"train.out": str(tmp_path / "two")}), quiet=True)
    (other / "checkpoints" / "latest").write_text("step-00000004\n")
    two = {"train.out": str(other), "train.devices": 2, "train.strategy": "fsdp"}
    code, _, err = cli("--resume", **SAME, **more, **two).finish()
    assert code == 0, err
    assert "processes: 1 -> 2: the same run up to rounding, not bit for bit" in err
    compare(one, other)


def test_a_signal_to_the_first_process_stops_all(cli):
    process = cli(**{"train.steps": 100_000, "train.devices": 2, "train.strategy": "ddp", "data.workers": 1})
    process.wait_for(3)
    process.process.send_signal(signal.SIGTERM)
    code, _, err = process.finish()
    assert code == 143, err
    assert err.count("stopped after step") == 1
    assert "Traceback" not in err
    assert RunFolder(process.run).latest() is not None
    wait_until_alone(process)


def test_no_process_outlives_the_first(cli):
    process = cli(**{"train.steps": 100_000, "train.devices": 2, "train.strategy": "ddp", "data.workers": 1})
    process.wait_for(3)
    process.process.kill()
    wait_until_alone(process)


@pytest.mark.parametrize("where", ["on the first process", "on all"])
def test_an_error_is_told_once(cli, tmp_path, where):
    two = {"train.devices": 2, "train.strategy": "ddp"}
    if where == "on all":
        process, text = (
            cli(**two, **{"optimizer.groups": [{"match": "nowhere", "lr_scale": 0.5}]}),
            "matches no parameter",
        )
    else:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "file").write_text("")
        process, text = cli(**two), "holds files that are no run"
    code, _, err = process.finish()
    assert code == 2, err
    assert err.count(text) == 1
    assert "Traceback" not in err
    wait_until_alone(process)


def wait_until_alone(process) -> None:
    end = time.monotonic() + 10
    while process.others() and time.monotonic() < end:
        time.sleep(0.1)
    assert not process.others()
