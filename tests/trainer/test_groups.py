"""Which parameter learns how fast."""

from __future__ import annotations

import pytest
from torch import nn

from anyclip.config.schema import GroupConfig, OptimizerConfig
from anyclip.errors import UserError
from anyclip.testing.toy import ToyTower
from anyclip.testing.toy_options import ToyOptions
from anyclip.trainer.groups import build_groups, freeze_groups, layer_scales, named_parameters
from anyclip.trainer.optimizers import create_optimizer, set_rate


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.towers = nn.ModuleDict({"a": ToyTower(ToyOptions(depth=2)), "b": ToyTower(ToyOptions(depth=3))})
        self.projections = nn.ModuleDict({"a": nn.Linear(32, 8), "b": nn.Linear(32, 8)})


class Terms(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(nn.Linear(1, 1).weight[0].detach().clone())


def settings(config: OptimizerConfig) -> dict[str, tuple[float, float]]:
    """name -> (rate, weight decay)"""
    model = Model()
    named = named_parameters(model, Terms())
    freeze_groups(named, config.groups)
    groups = build_groups(named, dict(model.towers.items()), config)
    return {n: (g["lr"], g["weight_decay"]) for g in groups for n in g["names"]}


def test_parameters_of_one_axis_have_no_weight_decay():
    found = settings(OptimizerConfig(lr=0.1, weight_decay=0.5))
    assert found["towers.a.head.weight"] == (0.1, 0.5)
    assert found["towers.a.head.bias"] == (0.1, 0.0)
    assert found["objectives.scale"] == (0.1, 0.0)


def test_the_first_group_that_matches_wins():
    groups = [
        GroupConfig(match=r"\.head\.", lr_scale=0.5, weight_decay=0.3),
        GroupConfig(match="^towers", lr_scale=0.1),
    ]
    found = settings(OptimizerConfig(lr=1.0, weight_decay=0.2, groups=groups))
    assert found["towers.b.head.weight"] == (0.5, 0.3)
    assert found["towers.b.head.bias"] == (0.5, 0.0)
    assert found["towers.b.blocks.0.0.weight"] == (0.1, 0.2)
    assert found["projections.b.weight"] == (1.0, 0.2)


def test_frozen_groups_are_not_optimised():
    found = settings(OptimizerConfig(groups=[GroupConfig(match=r"towers\.a", freeze=True)]))
    assert not [n for n in found if n.startswith("towers.a")]
    assert [n for n in found if n.startswith("towers.b")]


@pytest.mark.parametrize(
    ("match", "text"),
    [
        (r"towers\.c", r"optimizer.groups.0.match: 'towers\\\\.c' matches no parameter"),
        ("blokcs", "matches no parameter"),
        ("(", "not a regular expression"),
    ],
)
def test_an_expression_that_matches_nothing_is_an_error(match, text):
    with pytest.raises(UserError, match=text):
        settings(OptimizerConfig(groups=[GroupConfig(match=match)]))


def test_a_group_that_earlier_ones_leave_empty_is_an_error():
    groups = [GroupConfig(match="towers"), GroupConfig(match=r"towers\.a", lr_scale=0.1)]
    with pytest.raises(UserError, match=r"optimizer.groups.1.match: .* belongs to an earlier group"):
        settings(OptimizerConfig(groups=groups))


def test_nothing_left_to_train_is_an_error():
    with pytest.raises(UserError, match="nothing is trainable"):
        settings(OptimizerConfig(groups=[GroupConfig(match=".", freeze=True)]))


def test_layer_decay_falls_from_the_projection_to_the_input():
    found = settings(OptimizerConfig(lr=1.0, layer_decay=0.5))
    assert found["projections.a.weight"][0] == 1.0
    assert found["objectives.scale"][0] == 1.0
    assert found["towers.a.head.weight"][0] == 0.5
    assert found["towers.a.blocks.1.0.weight"][0] == 0.25
    assert found["towers.a.blocks.0.0.bias"][0] == 0.125
    assert found["towers.b.blocks.0.0.weight"][0] == 0.0625


def test_layer_decay_and_groups_multiply():
    found = settings(OptimizerConfig(lr=1.0, layer_decay=0.5, groups=[GroupConfig(match="head", lr_scale=0.1)]))
    assert found["towers.a.head.weight"][0] == pytest.approx(0.05)


def test_a_tower_without_groups_is_one_layer():
    class Whole(ToyTower):
        def layer_groups(self):
            return []

    assert set(layer_scales({"x": Whole(ToyOptions())}, 0.5).values()) == {0.5}


def test_a_schedule_keeps_the_scale_of_each_group():
    model = Model()
    config = OptimizerConfig(lr=1.0, groups=[GroupConfig(match="head", lr_scale=0.25)])
    groups = build_groups(named_parameters(model, Terms()), dict(model.towers.items()), config)
    optimizer = create_optimizer(groups, config)
    set_rate(optimizer, 0.5)
    assert {g["lr"] for g in optimizer.param_groups} == {0.5, 0.125}
