"""Importing, on toy towers: strict loading, exact widening, assets, the model folder."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from anyclip.checkpoint import open_model
from anyclip.checkpoint.importing import Imported, import_checkpoint_file, load_exactly, prefixed, scale_of
from anyclip.errors import CheckpointError, PluginError
from anyclip.registry import Part, PluginRow, Registry, get_registry, use_registry
from anyclip.specs import ImporterSpec

TOY = {"name": "toy/mlp", "options": {"size": 4, "width": 8, "depth": 1}, "projection": "identity"}


def toy_importer(state, *, name=None, source=None):
    """Tensors `left.*` and `right.*` into two toy towers."""
    renamed = prefixed(state, "left.", "towers.a.", drop=("idle",)) | prefixed(state, "right.", "towers.b.")
    renamed |= {key: value for key, value in state.items() if not key.startswith(("left.", "right.", "log"))}
    edge = {"pair": ["a", "b"], "scale": {"init": scale_of(state["log_scale"])}}
    return Imported({"model": {"dim": 8, "towers": {"a": TOY, "b": TOY}}, "objectives": [edge]}, renamed)


@pytest.fixture
def layout():
    spec = ImporterSpec(name="toy-pair", target=f"{__name__}:toy_importer", summary="test")
    row = PluginRow("test", "test", "1", parts=[Part(spec, "test", "1")])
    with use_registry(Registry([*get_registry().rows, row])):
        yield "toy-pair"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or __import__(__name__))


def weights(dtype=torch.float32):
    torch.manual_seed(0)
    shapes = {"blocks.0.0.weight": (8, 4), "blocks.0.0.bias": (8,), "head.weight": (8, 8), "head.bias": (8,)}
    state = {f"{side}.{n}": torch.randn(s).to(dtype) for side in ("left", "right") for n, s in shapes.items()}
    return state | {"left.idle": torch.ones(1), "log_scale": torch.tensor(1.2345)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_round_trip(layout, tmp_path, dtype):
    torch.save({"state_dict": weights(dtype)}, tmp_path / "w.pt")
    model, config = import_checkpoint_file(layout, tmp_path / "w.pt", tmp_path / "out")
    for name, tensor in weights(dtype).items():
        if name.startswith(("left.", "right.")) and "idle" not in name:
            own = model.state_dict()["towers." + name.replace("left", "a").replace("right", "b")]
            assert own.dtype == torch.float32
            assert torch.equal(own, tensor.float())
    assert config.objectives[0].scale.init == math.exp(torch.tensor(1.2345).double().item())
    again, opened = open_model(tmp_path / "out")
    assert opened.objectives[0].scale.init == config.objectives[0].scale.init
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in model.state_dict().items())
    assert not model.training


def test_nothing_is_written_when_tensors_do_not_fit(layout, tmp_path):
    state = weights()
    state["left.haed.bias"] = state.pop("left.head.bias")
    state["right.head.weight"] = state["right.head.weight"][:4]
    state["extra"] = torch.ones(1)
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint_file(layout, state, tmp_path / "out")
    assert str(caught.value) == (
        "toy-pair: the checkpoint does not fit the model: 1 of 8 tensors are missing:\n"
        "  towers.a.head.bias (nearest: towers.a.haed.bias)\n"
        "2 tensors are unexpected:\n"
        "  towers.a.haed.bias (nearest: towers.a.head.bias)\n"
        "  extra\n"
        "1 tensors have another shape:\n"
        "  towers.b.head.weight: [4, 8] in the file, [8, 8] in the model"
    )
    assert not (tmp_path / "out").exists()


def test_many_names_are_counted(layout):
    with pytest.raises(CheckpointError, match=r"40 tensors are unexpected:(.|\n)*and 28 more"):
        import_checkpoint_file(layout, weights() | {f"x{i}": torch.ones(1) for i in range(40)})


def test_counters_may_lack_and_types_are_never_lost():
    norm = nn.BatchNorm1d(2)
    state = {name: tensor for name, tensor in norm.state_dict().items() if name != "num_batches_tracked"}
    load_exactly(norm, state, where="test")
    with pytest.raises(CheckpointError, match="1 tensors would lose their type"):
        load_exactly(norm, {**state, "num_batches_tracked": torch.tensor(0.5)}, where="test")


def test_unknown_layout():
    with pytest.raises(PluginError, match="unknown importer"):
        import_checkpoint_file("no-such-layout", {})
