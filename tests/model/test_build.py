"""Building a joint model: references, seeds, sharing, freezing, and the errors a user meets."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import pytest
import torch

from anyclip.config.schema import ModelConfig, TowerConfig
from anyclip.errors import CheckpointError, ConfigError, UserError
from anyclip.model import JointModel, build_model, load_projection_state, load_tower_state
from anyclip.registry import PluginRow, Registry, get_registry, use_registry
from anyclip.registry.registry import Part
from anyclip.specs import TowerPart, TowerSpec
from anyclip.testing.toy import ToyProcessor
from anyclip.towers import Encoding, Tower, create_inner_tower, create_tower

TOY = {"name": "toy/mlp", "options": {"size": 4, "width": 6}}


@dataclass(kw_only=True)
class FramesOptions:
    frame: TowerPart
    """The tower of one frame."""


class Frames(Tower):
    """Two halves of a vector, each through another stream's tower."""

    def __init__(self, frame):
        super().__init__()
        self.frame, self.width, self.processor = frame, frame.width, ToyProcessor(8)
        self.mix = torch.nn.Linear(frame.width, frame.width)

    @classmethod
    def from_options(cls, options, *, refs=None, assets=None, load_weights=True):
        settings = {"refs": refs, "assets": assets, "load_weights": load_weights}
        return cls(create_inner_tower(options.frame, at="frame", **settings))

    def forward(self, inputs, *, mask=None, layers=()):
        return Encoding(self.mix(sum(self.frame(x).pooled for x in inputs.chunk(2, dim=1))))


def build(dim=5, seed=0, **towers) -> JointModel:
    config = ModelConfig(dim=dim, towers={name: TowerConfig(**tower) for name, tower in towers.items()})
    return build_model(config, seed=seed)


def test_streams_towers_and_embeddings():
    model = build(a=TOY, b=TOY | {"projection": "mlp"})
    assert model.streams == ["a", "b"]
    assert model.modality("a") == "toy"
    assert model.processor("a") is model.tower("a").processor
    x = torch.randn(3, 4)
    encoding = model.encode("a", x)
    assert encoding.pooled.shape == (3, 6)
    assert model.features("a", encoding).shape == (3, 5)
    embedding = model.eval().embed("b", x)
    assert embedding.dtype == torch.float32
    torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(3))
    torch.testing.assert_close(model.embed("b", x[1:2]), embedding[1:2])


def test_a_second_view_uses_the_same_tower():
    model = build(a=TOY, b=TOY)
    assert model.tower("a#1") is model.tower("a")
    assert model.projection("a#2") is model.projection("a")
    with pytest.raises(UserError, match="no stream 'imag'"):
        model.tower("imag")


def test_inputs_take_the_towers_dtype():
    model = build(a=TOY, b=TOY).double()
    assert model.encode("a", torch.randn(2, 4)).pooled.dtype == torch.float64
    assert model.embed("a", torch.randn(2, 4)).dtype == torch.float64
    half = build(a=TOY, b=TOY).to(torch.bfloat16)
    assert half.embed("a", torch.randn(2, 4)).dtype == torch.float32


def test_first_weights_depend_on_seed_and_stream_only():
    one, two = build(a=TOY, b=TOY, seed=3), build(c=TOY, b=TOY, seed=3)
    assert torch.equal(one.tower("b").head.weight, two.tower("b").head.weight)
    assert torch.equal(one.projection("b").weight, two.projection("b").weight)
    assert not torch.equal(one.tower("a").head.weight, one.tower("b").head.weight)
    assert not torch.equal(build(a=TOY, b=TOY, seed=4).tower("b").head.weight, one.tower("b").head.weight)
    before = torch.get_rng_state()
    build(a=TOY, b=TOY)
    assert torch.equal(before, torch.get_rng_state())


def test_a_shared_tower_is_saved_and_optimised_once():
    model = build(a=TOY, b={"ref": "a", "projection": "mlp"}, c={"ref": "b", "share_projection": True})
    assert model.tower("b") is model.tower("a") is model.tower("c")
    assert model.projection("c") is model.projection("b")
    assert list(model.towers) == ["a"]
    assert not any(name.startswith(("towers.b", "towers.c", "projections.c")) for name in model.state_dict())


def test_a_tower_inside_another(registry_with_frames):
    model = build(v={"name": "toy/frames", "options": {"frame": {"ref": "a"}}}, a=TOY)
    assert model.tower("v").frame is model.tower("a")
    assert list(model.towers) == ["a", "v"]  # the shared tower comes first, and owns its tensors
    names = list(model.state_dict())
    assert not any(name.startswith("towers.v.frame") for name in names)
    assert len(names) == len(set(names)) == len(list(model.parameters()))
    state = {name: torch.randn_like(value) for name, value in model.state_dict().items()}
    model.load_state_dict(state)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    with pytest.raises(RuntimeError, match="Missing key"):
        model.load_state_dict({n: v for n, v in state.items() if "towers.a.head" not in n})


def test_a_tower_of_its_own_inside_another(registry_with_frames, tmp_path):
    model = build(v={"name": "toy/frames", "options": {"frame": TOY}}, a=TOY)
    assert model.tower("v").frame is not model.tower("a")
    assert any(name.startswith("towers.v.frame") for name in model.state_dict())
    with pytest.raises(UserError, match=r"frame: there is no stream 'b'. Streams: a."):
        create_tower("toy/frames", refs={"a": model.tower("a")}, frame={"ref": "b"})
    for bad in ({}, {"ref": "a", "name": "toy/mlp"}, {"ref": "a", "options": {"size": 4}}):
        with pytest.raises(ConfigError, match="`ref`"):
            create_tower("toy/frames", refs={"a": model.tower("a")}, frame=bad)


def test_wrong_references(registry_with_frames):
    with pytest.raises(UserError, match=r"no stream 'aa'. Did you mean a\?"):
        build(a=TOY, b={"ref": "aa"})
    with pytest.raises(UserError, match="refer to each other"):
        build(a={"ref": "b"}, b={"ref": "a"})
    frames = {"name": "toy/frames", "options": {"frame": {"ref": "w"}}}
    with pytest.raises(UserError, match="v -> w -> v refer to each other"):
        build(v=frames, w={"name": "toy/frames", "options": {"frame": {"ref": "v"}}})
    with pytest.raises(UserError, match="no stream 'w'"):
        build(v=frames, a=TOY)
    with pytest.raises(UserError, match="'keys' cannot be the name"):
        build(keys=TOY)


def test_identity_needs_the_joint_width():
    assert build(dim=6, a=TOY | {"projection": "identity"}, b=TOY).projection("a")(torch.ones(1, 6)).shape == (1, 6)
    with pytest.raises(UserError, match=r"6 wide and the joint space 5.*model.dim to 6"):
        build(a=TOY | {"projection": "identity"}, b=TOY)


def test_a_frozen_tower_stays_in_eval_and_without_grad():
    tower = {"name": "toy/mlp", "options": {"size": 4, "width": 6, "dropout": 0.9}}
    model = build(a=tower | {"freeze": True}, b=tower | {"freeze": ["blocks.0"]}, c=tower).train()
    assert not model.tower("a").training
    assert model.tower("c").training
    assert not any(m.training for m in model.tower("b").blocks[0].modules())
    assert model.tower("b").blocks[1].training
    x = torch.randn(2, 4)
    assert torch.equal(model.encode("a", x).pooled, model.encode("a", x).pooled)
    assert not model.encode("a", x).pooled.requires_grad
    assert model.embed("a", x).requires_grad  # its projection learns
    assert not model.trainable("a")
    assert [p.requires_grad for p in model.tower("b").blocks[0].parameters()] == [False, False]


def test_freeze_expressions_must_match():
    with pytest.raises(
        UserError, match=r"model.towers.a.freeze: 'block.9' matches no parameter. Did you mean blocks.1"
    ):
        build(a=TOY | {"freeze": ["block.9"]}, b=TOY)
    with pytest.raises(UserError, match=r"Parameters begin with: blocks, head"):
        build(a=TOY | {"freeze": ["zzz"]}, b=TOY)
    with pytest.raises(UserError, match="not a regular expression"):
        build(a=TOY | {"freeze": ["("]}, b=TOY)


def test_first_weights_from_a_state():
    source, target = build(a=TOY, b=TOY, seed=1), build(a=TOY, b=TOY, seed=2)
    load_tower_state(target, "a", source.state_dict())
    assert torch.equal(target.tower("a").head.weight, source.tower("a").head.weight)
    assert not torch.equal(target.tower("b").head.weight, source.tower("b").head.weight)
    assert not torch.equal(target.projection("a").weight, source.projection("a").weight)
    load_tower_state(target, "b", source.tower("b").state_dict())
    assert torch.equal(target.tower("b").head.weight, source.tower("b").head.weight)
    wrong = {"head.weight": torch.zeros(2, 2), "extra": torch.zeros(1)}
    with pytest.raises(
        CheckpointError, match=r"x.pt: .*missing: blocks.0.0.bias.*unexpected: extra.*head.weight \[2, 2\]"
    ):
        load_tower_state(target, "b", wrong, where="x.pt")
    with pytest.raises(CheckpointError, match=r"no tower 'a'. It holds: z"):
        load_tower_state(target, "a", {"towers.z.head.weight": torch.zeros(1)})


def test_first_weights_of_a_projection():
    source, target = build(a=TOY, b=TOY, seed=1), build(a=TOY, b=TOY, seed=2)
    load_projection_state(target, "a", source.state_dict())
    assert torch.equal(target.projection("a").weight, source.projection("a").weight)
    assert not torch.equal(target.projection("b").weight, source.projection("b").weight)
    with pytest.raises(CheckpointError, match=r"x.pt: holds no projection 'a'. It holds: none"):
        load_projection_state(target, "a", source.tower("a").state_dict(), where="x.pt")
    with pytest.raises(CheckpointError, match=r"the projection of 'a'.*weight \[1, 1\]"):
        load_projection_state(target, "a", {"projections.a.weight": torch.zeros(1, 1)})


def test_first_weights_of_a_tower_that_holds_another(registry_with_frames):
    towers = {"v": {"name": "toy/frames", "options": {"frame": {"ref": "a"}}}, "a": TOY}
    source, target = build(**towers, seed=1), build(**towers, seed=2)
    load_tower_state(target, "v", source.state_dict())
    assert torch.equal(target.tower("a").head.weight, source.tower("a").head.weight)


def test_checkpointing_gives_the_same_numbers():
    """With dropout (draws replayed) and BatchNorm (statistics updated once), and after a copy."""
    tower = {"name": "toy/mlp", "options": {"size": 4, "width": 6, "dropout": 0.5}}
    plain, thrifty = build(a=tower, b=TOY), build(a=tower | {"checkpointing": True}, b=TOY)
    results = []
    for model in (plain, thrifty, copy.deepcopy(thrifty)):
        model.tower("a").blocks[0].add_module("norm", torch.nn.BatchNorm1d(6))
        torch.manual_seed(0)
        model.features("a", model.encode("a", torch.ones(3, 4) * torch.arange(3.0)[:, None])).square().sum().backward()
        norm = model.tower("a").blocks[0].norm
        results.append([*(p.grad for p in model.tower("a").parameters()), norm.running_mean, norm.num_batches_tracked])
    for other in results[1:]:
        for x, y in zip(results[0], other):
            torch.testing.assert_close(x, y, rtol=0, atol=0)
    assert results[0][-1] == 1


def test_checkpointing_keeps_less():
    """Fewer saved bytes between forward and backward."""

    def saved(checkpointing):
        deep = {"name": "toy/mlp", "options": {"size": 4, "width": 64, "depth": 6, "dropout": 0.1}}
        model = build(a=deep | {"checkpointing": checkpointing}, b=TOY)
        total = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: total.append(t.nbytes) or t, lambda t: t):
            model.encode("a", torch.randn(100, 4))
        return sum(total)

    assert saved(True) < saved(False) / 2


@pytest.fixture
def registry_with_frames():
    spec = TowerSpec(
        name="toy/frames", target=f"{__name__}:Frames", options=f"{__name__}:FramesOptions", summary="two halves"
    )
    own = PluginRow("frames", "frames", "1", parts=[Part(spec, "frames", "1")])
    with use_registry(Registry([*get_registry().rows, own])):
        yield
