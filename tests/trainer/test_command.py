"""`anyclip train`: where a run goes, and what is refused."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from anyclip.cli.train import command, prepare
from anyclip.errors import UserError


@pytest.fixture
def write(tmp_path, plain_config):
    def write(name: str = "audio-text.yaml", **changes) -> str:
        values = plain_config(changes)
        del values["train"]["out"]
        path = tmp_path / name
        with open(path, "w") as file:
            YAML(typ="safe").dump(values, file)
        return str(path)

    return write


def test_a_run_is_named_after_its_config(write):
    assert prepare(write(), ()).train.out == "runs/audio-text"
    assert prepare(write(), ("train.out=elsewhere",)).train.out == "elsewhere"


def test_a_run_folder_is_resumed_where_it_lies(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(command, [write(), "train.steps=2", "--quiet"], catch_exceptions=False).exit_code == 0
    (tmp_path / "runs" / "audio-text").rename(tmp_path / "moved")
    result = CliRunner().invoke(command, ["moved", "train.steps=3", "--resume", "--quiet"], catch_exceptions=False)
    assert result.exit_code == 0
    assert (tmp_path / "moved" / "checkpoints" / "latest").read_text() == "step-00000003\n"
    assert list((tmp_path / "runs").iterdir()) == []


def test_resume_and_overwrite_exclude_each_other(write):
    with pytest.raises(UserError, match="give one of them"):
        CliRunner().invoke(command, [write(), "--resume", "--overwrite"], catch_exceptions=False)
