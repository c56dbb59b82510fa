"""`anyclip eval` on a model folder: numbers, files, report, overrides."""

from __future__ import annotations

import json

import pytest

from anyclip.checkpoint import save_model_folder
from anyclip.cli.main import run


@pytest.fixture
def folder(toy_config, twin_model, vectors, tmp_path):
    paths, _ = vectors(12)
    config = toy_config([{"left": p, "right": p, "other": paths[i ^ 1]} for i, p in enumerate(paths)])
    return save_model_folder(tmp_path / "model", twin_model(config), config)


def test_table_files_and_report(folder, capsys):
    assert run(["eval", str(folder), "--device", "cpu"]) == 0
    captured = capsys.readouterr()
    line = next(line for line in captured.out.splitlines() if "left->right/R@1 " in line)
    assert line.split() == ["retrieval", "left->right/R@1", "100.0", "%", "100.0-100.0", "8.3", "%", "yes"]
    saved = json.loads((folder / "eval" / "model.json").read_text())
    assert saved == json.loads((folder / "eval" / "latest.json").read_text())
    assert saved["step"] is None
    assert (folder / "report.html").is_file()
    assert "report.html" in captured.err


def test_overrides_change_the_data_and_other_folder_keeps_the_run_clean(folder, tmp_path, capsys):
    out = tmp_path / "elsewhere"
    arguments = ["eval", str(folder), "data.val.0.fields={right: other}", "--out", str(out), "--json", "--no-report"]
    assert run(arguments) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert results[0]["numbers"]["left->right/R@1"] == 0.0
    assert (out / "eval" / "model.json").is_file()
    assert not (out / "report.html").exists()
    assert not (folder / "eval").exists()


def test_no_validation_data(folder, capsys):
    assert run(["eval", str(folder), "data.val=[]"]) == 2
    assert "no validation data" in capsys.readouterr().err


def test_a_config_is_evaluated_with_its_first_weights(folder, tmp_path, monkeypatch, capsys):
    from anyclip.config import dump_config, load_config

    config = load_config(folder / "config.yaml")
    for tower in config.model.towers.values():  # nothing learns: a model that only pretrained weights make
        tower.freeze = True
        tower.freeze_projection = True
    path = tmp_path / "untrained.yaml"
    path.write_text(dump_config(config))
    monkeypatch.chdir(tmp_path)
    assert run(["check", str(path), "--model-only"]) == 0
    assert run(["eval", str(path), "train.seed=3", "--device", "cpu"]) == 0
    first = json.loads((tmp_path / "runs" / "untrained" / "eval" / "model.json").read_text())
    assert first["results"][0]["numbers"]
    assert (tmp_path / "runs" / "untrained" / "model.safetensors").is_file()
    assert run(["eval", "runs/untrained", "--device", "cpu"]) == 0  # the folder is a model like any other
    assert json.loads((tmp_path / "runs" / "untrained" / "eval" / "model.json").read_text()) == first
    (tmp_path / "trained" / "checkpoints").mkdir(parents=True)
    capsys.readouterr()
    assert run(["eval", str(path), "--out", "trained"]) == 2
    assert "a trained run is in the folder" in capsys.readouterr().err
