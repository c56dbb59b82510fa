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
