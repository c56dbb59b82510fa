"""A disk that refuses a checkpoint: the previous one stays whole and the error names it."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from pathlib import Path

import pytest

import anyclip.trainer.checkpoints as checkpoints
from anyclip.checkpoint import RunFolder, open_model
from anyclip.errors import CheckpointError, UserError
from anyclip.trainer import train

WIDE = {"train.checkpoint_every": 2, "model.towers.a.options.width": 256}


def expect_whole(run, last: int) -> None:
    """The checkpoint of step `last` is there, opens, and nothing half-written is."""
    assert RunFolder(run).latest() == RunFolder(run).checkpoint(last)
    model, _ = open_model(run)
    assert all(p.isfinite().all() for p in model.parameters())
    assert not [p for p in (run / "checkpoints").iterdir() if p.name.startswith(".")]


def test_a_full_file_system(toy, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("may not mount a file system")
    try:
        config = toy(**WIDE, **{"train.out": str(disk / "run"), "train.keep": 50, "train.steps": 40})
        with pytest.raises(CheckpointError) as error:
            train(config, quiet=True)
        last = RunFolder(disk / "run").steps()[-1]
        assert 2 <= last < 40
        assert f"the checkpoint of step {last + 2} could not be written: No space left on device" in str(error.value)
        assert f"The last good one is {disk / 'run' / 'checkpoints' / f'step-{last:08d}'}" in str(error.value)
        expect_whole(disk / "run", last)
        config.train.keep = 1  # after room was made the run goes on
        for old in RunFolder(disk / "run").steps()[:-1]:
            for file in RunFolder(disk / "run").checkpoint(old).iterdir():
                file.unlink()
        train(config, quiet=True, resume=True)
        expect_whole(disk / "run", 40)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_file_size_limit(toy, monkeypatch):
    write = checkpoints.write_atomic
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limited(folder, writer):
        if folder.name == "step-00000004":
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
        return write(folder, writer)

    monkeypatch.setattr(checkpoints, "write_atomic", limited)
    config = toy(**WIDE)
    try:
        with pytest.raises(CheckpointError, match=r"step 4 could not be written: File too large.*step-00000002"):
            train(config, quiet=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    expect_whole(Path(config.train.out), 2)


@pytest.mark.parametrize("file", ["objectives.safetensors", "optimizer.safetensors"])
def test_any_file_of_a_checkpoint_may_fail(toy, monkeypatch, file):
    save = checkpoints.save_tensors

    def failing(tensors, path):
        if path.name == file and "step-00000004" in path.parent.name:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(tensors, path)

    monkeypatch.setattr(checkpoints, "save_tensors", failing)
    config = toy(**WIDE)
    with pytest.raises(CheckpointError, match="No space left on device"):
        train(config, quiet=True)
    expect_whole(Path(config.train.out), 2)


def test_the_first_checkpoint_has_no_earlier_one(toy, monkeypatch):
    def full(tensors, path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoints, "save_tensors", full)
    with pytest.raises(CheckpointError, match="There is no earlier one"):
        train(toy(), quiet=True)


def test_a_folder_that_cannot_be_made(toy, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written: Not a directory"):
        train(toy(**{"train.out": str(tmp_path / "file" / "run")}), quiet=True)
