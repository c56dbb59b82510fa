"""tests/parity.py on the recorded numbers of published losses, and that it notices what is wrong."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

import parity
import parity_losses

from anyclip.testing.reference import cases, compare

HERE = Path(__file__).resolve().parent
ROOT = Path(os.environ.get("ANYCLIP_REFERENCE", HERE.parents[1] / "shared" / "reference"))
LOSSES = ROOT / "losses"
needs_reference = pytest.mark.skipif(
    not LOSSES.is_dir(), reason="the recorded values are not here: set ANYCLIP_REFERENCE to their folder"
)


@needs_reference
@pytest.mark.parametrize("objective", sorted(parity_losses.ADAPTERS))
def test_published_values(objective: str):
    if not (LOSSES / f"{objective}.json").exists():
        pytest.skip("this folder does not have it")
    lines = list(parity.loss_lines(LOSSES, objective))
    assert len(lines) >= 4  # two cases, in float64 and float32
    assert not [str(line) for line in lines if line.status != "pass"]


@needs_reference
def test_every_file_is_implemented_or_left_out_with_a_reason():
    with_cases = {p.stem for p in LOSSES.glob("*.json") if "cases" in json.loads(p.read_text())}
    assert with_cases <= set(parity_losses.ADAPTERS) | set(parity_losses.LEFT_OUT)
    assert len(with_cases) >= 37


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of the format made here: other seeds and sizes, no archive, no texts."""
    entry = {"id": "q0", "seed": 77, "params": {"scale": 9.0}, "differentiable": ["a", "b", "scale"]}
    entry["inputs"] = [{"name": n, "recipe": "unit_normal", "shape": [5, 3]} for n in "ab"]
    g = torch.Generator().manual_seed(77)
    a, b = (torch.nn.functional.normalize(torch.randn(5, 3, generator=g), dim=-1).double() for _ in "ab")
    scale = torch.tensor(9.0, dtype=torch.float64, requires_grad=True)
    a.requires_grad_(), b.requires_grad_()
    logits = scale * a @ b.T
    loss = sum(torch.nn.functional.cross_entropy(x, torch.arange(5)) for x in (logits, logits.T)) / 2
    loss.backward()
    ramp = torch.arange(15, dtype=torch.float64) / 15

    def summary(g: torch.Tensor) -> dict:
        return {"norm": g.norm().item(), "first8": g[:8].tolist(), "dot_ramp": (g @ ramp).item()}

    grads = {n: summary(x.grad.flatten()) for n, x in (("a", a), ("b", b))}
    entry |= {"float64": {"loss": loss.item()}, "float32": {"loss": loss.item()}}
    entry["grads_float64"] = {**grads, "scale": scale.grad.item()}
    (tmp_path / "clip_infonce.json").write_text(json.dumps({"cases": [entry]}))
    return tmp_path


def change(folder: Path, name: str, *keys, value) -> None:
    path = folder / f"{name}.json"
    data = json.loads(path.read_text())
    inner = data["cases"][0]
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value if not callable(value) else value(inner[keys[-1]])
    path.write_text(json.dumps(data))


def test_a_folder_of_the_format_passes(folder: Path, capsys):
    assert parity.main([str(folder)]) == 0
    out = capsys.readouterr().out
    assert "clip_infonce-q0" in out
    assert "1 cases compared in 2 runs, 0 failed" in out


@pytest.mark.parametrize(
    "keys",
    [
        ("float64", "loss"),
        ("float32", "loss"),
        ("grads_float64", "scale"),
        ("grads_float64", "a", "norm"),
        ("grads_float64", "b", "dot_ramp"),
        ("grads_float64", "b", "first8", 3),
    ],
)
def test_a_wrong_number_is_noticed(folder: Path, capsys, keys):
    change(folder, "clip_infonce", *keys, value=lambda x: x * 1.01 + 0.01)
    assert parity.main([str(folder)]) == 1
    assert "FAIL" in capsys.readouterr().out


def test_a_component_that_is_not_computed_is_noticed(folder: Path):
    change(folder, "clip_infonce", "float64", value={"loss": 1.0, "new": 2.0})
    (case,) = cases(folder, "clip_infonce")
    assert max(d.share for d in compare(case, parity_losses.function_of("clip_infonce"))) == float("inf")


def test_other_inputs_are_noticed(folder: Path, capsys):
    change(
        folder, "clip_infonce", "inputs", 0, value={"name": "a", "recipe": "unit_normal", "shape": [5, 3], "sum": 99.0}
    )
    assert parity.main([str(folder)]) == 1
    assert "this generator draws another a" in capsys.readouterr().out


def test_an_unknown_objective_and_a_tower_fail_by_name(folder: Path, capsys):
    (folder / "clip_infonce.json").rename(folder / "not_there.json")
    tower = folder / "audio"
    tower.mkdir()
    (tower / "some_tower.json").write_text(json.dumps({"weights": {}, "checks": {}}))
    assert parity.main([str(folder), str(tower)]) == 1
    out = capsys.readouterr().out
    for name in ("not_there", "some_tower"):
        assert any(
            re.match(f"{name} .*not implemented, and not left out with a reason", row) for row in out.split("\n")
        )


def test_nothing_to_compare_is_no_success(tmp_path: Path, capsys):
    assert parity.main([str(tmp_path)]) == 2
    assert parity.main([str(tmp_path / "absent")]) == 2
    assert "no such folder" in capsys.readouterr().err
