"""`key.path=value` on the command line."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("override", "read", "value"),
    [
        ("train.steps=20", lambda c: c.train.steps, 20),
        ("optimizer.lr=1e-4", lambda c: c.optimizer.lr, 1e-4),
        ("objectives.0.weight=0.5", lambda c: c.objectives[0].weight, 0.5),
        ("optimizer.betas=[0.8, 0.9]", lambda c: c.optimizer.betas, [0.8, 0.9]),
        ("optimizer.betas.1=0.99", lambda c: c.optimizer.betas, [0.9, 0.99]),
        ("train.out=runs/a=b", lambda c: c.train.out, "runs/a=b"),
        ("train.out=2020-01-01", lambda c: c.train.out, "2020-01-01"),
        ("train.clip_grad_norm=", lambda c: c.train.clip_grad_norm, None),
        ("model.towers.b.options.width=3", lambda c: c.model.towers["b"].options, {"width": 3}),
        ("data.train.1=synthetic", lambda c: len(c.data.train), 2),
        ("objectives.0.loss.options.label_smoothing=0", lambda c: c.objectives[0].loss.options, {"label_smoothing": 0}),
        ("model.towers.a={name: toy/mlp}", lambda c: c.model.towers["a"].options, {}),
    ],
)
def test_override(writer, override, read, value):
    betas = ("lr: 1e-3", "lr: 1e-3, betas: [0.9, 0.98]")
    assert read(writer.load(betas, overrides=(override,))) == value


def test_a_new_name_drops_the_old_options(writer):
    config = writer.load(overrides=("objectives.0.loss.name=siglip",))
    assert (config.objectives[0].loss.name, config.objectives[0].loss.options) == ("siglip", {})
    same = writer.load(overrides=("objectives.0.loss.name=infonce",))
    assert same.objectives[0].loss.options == {"label_smoothing": 0.1}
    for order in (1, -1):
        both = ("model.towers.a.name=anyclip:toy/mlp", "model.towers.a.options.width=5")[::order]
        assert writer.load(overrides=both).model.towers["a"].options == {"width": 5}


def test_later_overrides_win(writer):
    assert writer.load(overrides=("train.steps=20", "train.steps=30")).train.steps == 30


@pytest.mark.parametrize(
    ("override", "report"),
    [
        ("train.steps", "override train.steps: an override is key.path=value, such as train.steps=100."),
        ("=3", "override =3: an override is key.path=value, such as train.steps=100."),
        ("train..steps=3", "override train..steps=3: an override is key.path=value, such as train.steps=100."),
        (
            "objectives.3.weight=1",
            "override objectives.3.weight=1: objectives.3: objectives is a list of 1 item, numbered from 0.",
        ),
        (
            "objectives.first.weight=1",
            "override objectives.first.weight=1: objectives.first: objectives is a list of 1 item, numbered from 0.",
        ),
        ("train.steps.x=1", "override train.steps.x=1: train.steps.x: train.steps is neither a mapping nor a list."),
        (
            "train.seed={",
            "override train.seed={: train.seed: not valid YAML: expected the node content, but found '<stream end>'.",
        ),
        ("train.seed={a: 1, a: 2}", "override train.seed={a: 1, a: 2}: train.seed: given twice, first on line 1."),
        ("train.seeds=3", "override train.seeds=3: train.seeds: unknown key. Did you mean seed?"),
        ("train.seed=x", "override train.seed=x: train.seed: must be a whole number, not 'x'."),
        (
            "objectives.0.loss=siglipp",
            "override objectives.0.loss=siglipp: objectives.0.loss: unknown loss 'siglipp'. Did you mean siglip?",
        ),
        (
            "optimizer.momentum=0.5",
            "override optimizer.momentum=0.5: optimizer.momentum: does nothing: adamw has none; sgd has.",
        ),
        (
            "model.towers.a.options.size=0",
            "override model.towers.a.options.size=0: model.towers.a.options.size: must be greater than 0, not 0.",
        ),
    ],
)
def test_bad_override(writer, override, report):
    assert writer.report(overrides=(override,)) == [report]
