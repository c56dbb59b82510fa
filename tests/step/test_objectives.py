"""Objectives of a config: names, first values, sharing, and mistakes."""

from __future__ import annotations

import math

import pytest
import torch

from anyclip.config.schema import Config, ModelConfig, ObjectiveConfig, ScaleConfig, TowerConfig
from anyclip.errors import UserError
from anyclip.model import build_model
from anyclip.objectives import Objectives, build_objectives

TOY = {"name": "toy/mlp", "options": {"size": 4, "width": 6}}


def build(*objectives: ObjectiveConfig, **kw) -> Objectives:
    model = ModelConfig(dim=5, towers={s: TowerConfig(**TOY) for s in "abc"})
    return build_objectives(Config(model=model, objectives=list(objectives), **kw), build_model(model))


def edge(*pair: str, **kw) -> ObjectiveConfig:
    return ObjectiveConfig(pair=list(pair), **kw)


def test_defaults_come_from_the_loss():
    infonce, siglip = build(edge("a", "b"), edge("a", "b", loss="siglip"))
    assert infonce.scale.item() == pytest.approx(1 / 0.07)
    assert infonce.bias is None
    assert infonce.scale_max == 100
    assert siglip.log_scale.item() == pytest.approx(math.log(10))
    assert siglip.bias.item() == -10
    assert siglip.scale_max is None
    assert [p.shape for p in siglip.parameters()] == [(1,), (1,)]


def test_the_config_overrides_them():
    scale = ScaleConfig(init=2.0, learn=False, max=5.0)
    (one,) = build(edge("a", "b", loss="siglip", scale=scale, bias=ScaleConfig(init=0.5)))
    assert (round(one.scale.item(), 6), one.scale_max, one.bias.item()) == (2.0, 5.0, 0.5)
    assert not one.log_scale.requires_grad
    one.log_scale.data += 9
    one.after_step()  # a scale that does not learn is not clamped either
    assert one.scale.item() > 5
    (kept,) = build(edge("a", "b", scale=ScaleConfig(max=50.0)))
    assert kept.scale.item() == pytest.approx(1 / 0.07)


def test_names_are_unique():
    found = build(edge("a", "b"), edge("a", "b", loss="siglip"), edge("b", "c"), edge("a", "b"))
    assert found.names == ["a-b.infonce.1", "a-b.siglip", "b-c", "a-b.infonce.2"]
    assert found.streams == ["a", "b", "c"]
    assert found.edges["b-c"] == ("b", "c")


def test_edges_share_scale_and_similarity():
    shared = {"scale": ScaleConfig(share="all")}
    found = build(edge("a", "b", **shared), edge("b", "c", **shared), edge("a", "c"))
    assert found[0].log_scale is found[1].log_scale
    assert found[2].log_scale is not found[0].log_scale
    assert found[0].similarity is found[2].similarity  # nothing to learn: a stream is gathered once
    assert list(found.state_dict()) == ["0.log_scale", "2.log_scale"]
    found.load_state_dict({"0.log_scale": torch.ones(1), "2.log_scale": torch.zeros(1)})
    assert found[1].log_scale.item() == 1


def test_mistakes():
    with pytest.raises(UserError, match=r"objectives.1: the model has no stream 'bb'. Did you mean b\?"):
        build(edge("a", "b"), edge("a", "bb"))
    with pytest.raises(UserError, match=r"objectives.1.scale: edges that share the scale 'all' must agree"):
        build(edge("a", "b", scale=ScaleConfig(share="all")), edge("a", "c", scale=ScaleConfig(share="all", init=3.0)))
    with pytest.raises(UserError, match="must be positive, not -1"):
        build(edge("a", "b", scale=ScaleConfig(init=-1.0)))
    with pytest.raises(UserError, match="begins at 200, above its max 100"):
        build(edge("a", "b", scale=ScaleConfig(init=200.0)))
    with pytest.raises(UserError, match="nothing to train for"):
        build()
    with pytest.raises(UserError, match="unknown objective 'simclr'"):
        build(ObjectiveConfig(name="simclr"))
    with pytest.raises(UserError, match="pair of two streams"):
        build(edge("a"))
