"""Streams as programs without Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import anyclip
from anyclip.api import exporting
from anyclip.api.exporting import export_stream
from anyclip.cli.main import run
from anyclip.errors import UserError


def test_a_program_embeds_as_the_model(folder: Path, tmp_path: Path):
    model = anyclip.load(folder)
    found = export_stream(model, "left", tmp_path / "left.pt2")
    assert found.largest_difference < 1e-6
    program = torch.export.load(tmp_path / "left.pt2").module()
    told = json.loads((tmp_path / "left.json").read_text())
    assert told["format"] == "torch"
    assert told["batch"] is None
    shape = next(iter(told["inputs"].values()))
    x = torch.randn(7, *shape[1:])
    inputs = x if "x" in told["inputs"] else {next(iter(told["inputs"])): x}
    assert torch.allclose(program(x), model.joint.embed("left", inputs), atol=1e-6)


def test_onnx(folder: Path, tmp_path: Path, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    assert run(["export", str(folder), str(tmp_path / "out"), "--format", "onnx", "--stream", "right"]) == 0
    assert "largest difference" in capsys.readouterr().out
    assert (tmp_path / "out" / "right.onnx").is_file()
    assert not (tmp_path / "out" / "left.onnx").exists()


def test_command_writes_every_stream_and_replaces_none(folder: Path, tmp_path: Path, capsys):
    assert run(["export", str(folder), str(tmp_path / "out"), "--batch-size", "2"]) == 0
    assert capsys.readouterr().out.count("batch size 2 only") == 2
    assert run(["export", str(folder), str(tmp_path / "out")]) == 2
    assert "--force" in capsys.readouterr().err


def test_a_tower_that_cannot_be_traced_is_named(folder: Path, tmp_path: Path, monkeypatch, capsys):
    model = anyclip.load(folder)

    def forward(inputs, **kw):
        raise RuntimeError("data decides" if float(next(iter(_tensors(inputs))).sum()) > 0 else "data decides too")

    monkeypatch.setattr(model.joint.tower("left"), "forward", forward)
    with pytest.raises(UserError, match="the tower of left cannot be exported"):
        export_stream(model, "left", tmp_path / "left.pt2")
    assert not (tmp_path / "left.pt2").exists()


def test_a_program_that_differs_is_reported(folder: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(exporting, "_compare", lambda *_: 0.5)
    assert run(["export", str(folder), str(tmp_path / "out")]) == 1
    assert "largest difference 5.0e-01" in capsys.readouterr().out


def _tensors(inputs):
    return inputs.values() if isinstance(inputs, dict) else [inputs]
