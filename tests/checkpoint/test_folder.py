"""Run folders, atomic writes, tensor files, model folders."""

from __future__ import annotations

import json
import os

import pytest
import torch
from torch import nn

from anyclip.checkpoint import (
    RunFolder,
    changed_versions,
    current_versions,
    find_weights,
    load_tensors,
    open_model,
    save_model_folder,
    save_tensors,
    write_atomic,
    write_text_atomic,
)
from anyclip.checkpoint.atomic import remove_unfinished
from anyclip.checkpoint.tensors import load_into, module_state
from anyclip.config import config_from_dict
from anyclip.errors import CheckpointError
from anyclip.model import build_model

TOY = {"model": {"dim": 8, "towers": {"a": {"name": "toy/mlp"}, "b": {"ref": "a"}}}}


def make_checkpoint(run: RunFolder, step: int) -> None:
    run.checkpoint(step).mkdir(parents=True)
    (run.checkpoint(step) / "state.json").write_text("{}")


def names(folder) -> set[str]:
    return {p.name for p in folder.iterdir()}


def test_a_folder_appears_whole(tmp_path):
    def writer(folder):
        (folder / "a").write_text("1")
        assert not (tmp_path / "x").exists()
        (folder / "inner").mkdir()
        (folder / "inner" / "b").write_text("2")

    assert write_atomic(tmp_path / "x", writer) == tmp_path / "x"
    assert (tmp_path / "x" / "inner" / "b").read_text() == "2"
    assert names(tmp_path) == {"x"}


@pytest.mark.parametrize("error", [OSError("disk"), KeyboardInterrupt()])
def test_a_failing_writer_leaves_what_was_there(tmp_path, error):
    write_atomic(tmp_path / "x", lambda folder: (folder / "a").write_text("old"))

    def failing(folder):
        (folder / "a").write_text("new")
        raise error

    with pytest.raises(type(error)):
        write_atomic(tmp_path / "x", failing)
    assert (tmp_path / "x" / "a").read_text() == "old"
    assert names(tmp_path) == {"x"}


def test_a_failing_rename_brings_the_old_folder_back(tmp_path, monkeypatch):
    write_atomic(tmp_path / "x", lambda folder: (folder / "a").write_text("old"))
    rename = type(tmp_path).rename

    def broken(self, target):
        if self.name.startswith(".writing-"):
            raise OSError("refused")
        return rename(self, target)

    monkeypatch.setattr(type(tmp_path), "rename", broken)
    with pytest.raises(OSError, match="refused"):
        write_atomic(tmp_path / "x", lambda folder: (folder / "a").write_text("new"))
    assert (tmp_path / "x" / "a").read_text() == "old"
    assert names(tmp_path) == {"x"}


def test_every_file_is_synced_before_the_rename(tmp_path, monkeypatch):
    synced, renamed = [], []
    fsync, rename = os.fsync, type(tmp_path).rename
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd)))
    monkeypatch.setattr(type(tmp_path), "rename", lambda s, t: (renamed.append(len(synced)), rename(s, t))[1])
    write_atomic(tmp_path / "x", lambda folder: [(folder / n).write_text(n) for n in "ab"])
    before = {p.rpartition("/")[2] for p in synced[: renamed[0]]}
    assert before == {"a", "b", ".writing-x"}
    assert synced[renamed[0] :] == [str(tmp_path)]


def test_what_a_kill_left_is_removed_or_put_back(tmp_path):
    for name in (".writing-step-00000004", ".old-step-00000002", ".old-step-00000003", "step-00000003"):
        (tmp_path / name).mkdir()
    (tmp_path / ".writing-latest").write_text("")
    assert remove_unfinished(tmp_path) == [".writing-latest", ".writing-step-00000004"]
    assert names(tmp_path) == {"step-00000002", "step-00000003"}


def test_a_text_is_replaced_in_one_step(tmp_path, monkeypatch):
    write_text_atomic(tmp_path / "t", "one")
    monkeypatch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_text_atomic(tmp_path / "t", "two")
    assert (tmp_path / "t").read_text() == "one"
    assert names(tmp_path) == {"t"}


def test_the_latest_checkpoint(tmp_path):
    run = RunFolder(tmp_path)
    assert run.latest() is None
    for step in (5, 10, 100_000_000):
        make_checkpoint(run, step)
    (run.checkpoints / "step-00000050").mkdir()  # no state.json: not finished
    (run.checkpoints / ".writing-step-00000060").mkdir()
    assert run.steps() == [5, 10, 100_000_000]
    assert run.latest() == run.checkpoint(100_000_000)
    run.point_latest(5)
    assert run.latest() == run.checkpoint(5)
    for nonsense in ("step-00000050", "../..", "", "step-99999999\n"):
        (run.checkpoints / "latest").write_text(nonsense)
        assert run.latest() == run.checkpoint(100_000_000)


def test_pruning_keeps_the_newest_and_the_one_in_use(tmp_path):
    run = RunFolder(tmp_path)
    for step in range(1, 6):
        make_checkpoint(run, step)
    run.point_latest(2)
    run.prune(2)
    assert run.steps() == [2, 4, 5]


def test_shared_and_overlapping_tensors(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {"a": base, "again": base, "column": base[:, 1], "row": base[1], "empty": torch.empty(0, 3), "n": torch.tensor(3)}  # fmt: skip # noqa: E501
    save_tensors(tensors, tmp_path / "t.safetensors")
    loaded = load_tensors(tmp_path / "t.safetensors")
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[k], tensors[k]) for k in tensors)
    one = {"a": torch.zeros(100_000)}
    save_tensors(one, tmp_path / "one.safetensors")
    save_tensors({**one, "b": one["a"]}, tmp_path / "two.safetensors")
    sizes = [(tmp_path / f"{n}.safetensors").stat().st_size for n in ("one", "two")]
    assert sizes[1] - sizes[0] < 100


def test_equal_states_are_equal_files(tmp_path):
    state = module_state(nn.Linear(3, 3))
    for i in range(8):
        save_tensors(state, tmp_path / str(i))
    assert len({(tmp_path / str(i)).read_bytes() for i in range(8)}) == 1


def test_tensors_that_do_not_fit_are_all_listed():
    with pytest.raises(CheckpointError) as error:
        load_into(nn.Linear(2, 3), {"weight": torch.zeros(2, 3), "extra": torch.zeros(1)}, where="file")
    text = str(error.value)
    assert "missing: bias" in text
    assert "unexpected: extra" in text
    assert "weight: shape (2, 3) in the file, (3, 2) in the model" in text


@pytest.mark.parametrize("content", [b"", b"\x80\x04junk", b"\xff" * 64])
def test_a_damaged_file_is_an_error_for_the_user(tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_tensors(tmp_path / "x.safetensors")


def test_a_model_folder_opens_with_the_same_weights(tmp_path):
    config = config_from_dict(TOY)
    model = build_model(config.model, seed=3)
    save_model_folder(tmp_path / "m", model, config)
    assert names(tmp_path / "m") == {"config.yaml", "model.safetensors", "versions.json", "assets"}
    opened, loaded = open_model(tmp_path / "m")
    assert loaded.model == config.model
    assert not opened.training
    assert opened.tower("a") is opened.tower("b")
    assert all(torch.equal(v, opened.state_dict()[k]) for k, v in model.state_dict().items())


def test_what_is_no_model_says_what_to_do(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        open_model(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="anyclip import"):
        open_model(tmp_path)
    (tmp_path / "config.yaml").write_text("model: {}\n")
    with pytest.raises(CheckpointError, match="no checkpoint yet"):
        open_model(tmp_path)


def test_weights_are_found_from_a_run_a_checkpoint_and_a_model_folder(tmp_path):
    run = RunFolder(tmp_path / "run")
    make_checkpoint(run, 7)
    (run.checkpoint(7) / "model.safetensors").write_bytes(b"")
    run.config.write_text("")
    assert find_weights(run.path) == find_weights(run.checkpoint(7)) == (run.path, run.checkpoint(7))


def test_versions_that_changed_are_named(tmp_path):
    now = current_versions()
    assert {"python", "torch", "anyclip"} <= set(now)
    (tmp_path / "versions.json").write_text(json.dumps({**now, "torch": "1.0", "anyclip-lidar": "0.3"}))
    assert changed_versions(tmp_path / "versions.json") == [
        f"torch: 1.0 -> {now['torch']}",
        "anyclip-lidar: 0.3 -> not installed",
    ]
