"""What towers around a whole model share: layers on request, groups, assets."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from anyclip.errors import CheckpointError, UserError
from anyclip.towers.wrapping import grouped_by_block, read_assets, recorded, write_assets


@pytest.fixture
def model() -> nn.ModuleDict:
    parts = {"stem": nn.Linear(2, 2), "block": nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))}
    return nn.ModuleDict({**parts, "cls": nn.Linear(2, 2, bias=False), "norm": nn.LayerNorm(2)})


def test_recorded_outputs_and_no_hook_left(model):
    x = torch.randn(3, 2)
    with recorded(model, ["block.0", "block.2"], [0, -1], "toy") as found:
        last = model["block"](x)
    assert torch.equal(found[-1], last)
    assert torch.equal(found[0], model["block"][0](x))
    assert not any(m._forward_hooks for m in model.modules())
    refused = pytest.raises(UserError, match="layer 2 is asked, but this toy tower has 2 blocks")
    with refused, recorded(model, ["block.0", "block.2"], [0, 2], "toy"):
        raise AssertionError("was opened")
    assert not any(m._forward_hooks for m in model.modules())


def test_groups_by_order_and_by_name(model):
    blocks = ["block.0", "block.1", "block.2"]  # block.1 has no parameters
    stem, tail = ["stem.weight", "stem.bias"], ["norm.weight", "norm.bias"]
    assert grouped_by_block(model, blocks) == [stem, ["block.0"], ["block.2"], ["cls.weight", *tail]]
    named = grouped_by_block(model, blocks, tail=r"norm\.", in_order=False)
    assert named == [[*stem, "cls.weight"], ["block.0"], ["block.2"], tail]
    assert grouped_by_block(model, ["block.1"]) == []


def test_assets_and_their_damage(tmp_path: Path):
    assert read_assets(None, "t.json", "lib", a=dict) is None
    assert read_assets(tmp_path, "t.json", "lib", a=dict) is None
    write_assets(tmp_path / "new", "t.json", {"library": "lib", "a": {"x": 1}, "b": 2})
    assert read_assets(tmp_path / "new", "t.json", "lib", a=dict) == {"a": {"x": 1}}
    with pytest.raises(CheckpointError, match="holds a lib tower, the config asks for other"):
        read_assets(tmp_path / "new", "t.json", "other", a=dict)
    with pytest.raises(CheckpointError, match="damaged"):
        read_assets(tmp_path / "new", "t.json", "lib", c=dict)
