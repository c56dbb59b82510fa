"""`tower_term`: its value by hand, whole and in parts, and what it refuses."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from anyclip.config.schema import Config, ModelConfig, ObjectiveConfig, TowerConfig
from anyclip.errors import UserError
from anyclip.model import build_model
from anyclip.objectives import build_objectives
from anyclip.objectives.options import TowerTermOptions
from anyclip.objectives.tower_term import TowerTerm
from anyclip.step import train_step
from anyclip.testing.exactness_parts import Subject, build, make_batch
from anyclip.towers import Encoding

EDGE = {"pair": ["a", "b"], "scale": {"init": 4.0}}


def term(name: str = "activity") -> dict:
    return {"name": "tower_term", "options": {"stream": "t", "term": name}, "weight": 0.5}


def step_of(*objectives: dict):
    return build(Subject("objective", "tower_term", "tower_term", list(objectives)))


@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("pattern", ["all", "some"])
def test_the_mean_over_the_rows_that_have_the_stream(pattern, parts):
    step = step_of(EDGE, term())
    batch = make_batch(pattern, parts, 1, index=0, of=1)
    output = train_step(step, batch, step=0)
    tower, rows, total = step.model.tower("t"), 0, torch.zeros((), dtype=torch.float64)
    weight = tower.get_parameter("own.weight")
    inputs = [part.inputs["t"] for part in batch.parts if len(part.rows["t"])]
    for part in inputs:
        for ids, mask in zip(part["ids"], part["mask"]):
            total = total + tower({"ids": ids[mask][None], "mask": mask[mask][None]}).tokens.square().mean()
            rows += 1
    assert rows == len(batch.rows("t"))
    assert (rows < batch.size) == (pattern == "some")
    assert output.terms["tower_term"] == pytest.approx(float(total.detach()) / rows, rel=1e-12)
    assert output.loss == pytest.approx(output.terms["a-b"] + 0.5 * output.terms["tower_term"], rel=1e-12)
    (wanted,) = torch.autograd.grad(0.5 * total / rows, [weight])
    torch.testing.assert_close(weight.grad, wanted)  # the pair does not touch this tower
    assert wanted.abs().max() > 1e-6


def test_no_row_with_the_stream_adds_nothing():
    output = train_step(step_of(EDGE, term()), make_batch("few", 1, 1, index=0, of=1), step=0)
    assert output.terms["tower_term"] == 0
    assert output.finite


def test_an_unknown_term_names_those_that_there_are():
    with pytest.raises(UserError, match="'t' gives no term 'activty'") as caught:
        train_step(step_of(EDGE, term("activty")), make_batch("all", 1, 1, index=0, of=1), step=0)
    assert "It gives activity." in str(caught.value)
    plain = {"name": "tower_term", "options": {"stream": "a", "term": "x"}}
    with pytest.raises(UserError, match="'a' gives no losses of its own"):
        train_step(step_of(EDGE, plain), make_batch("all", 1, 1, index=0, of=1), step=0)


def test_a_term_that_is_no_number_per_row_is_refused():
    objective = TowerTerm(TowerTermOptions(stream="t", term="x"))
    encoding = Encoding(pooled=torch.zeros(3, 2), terms={"x": torch.zeros(3, 2)})
    context = SimpleNamespace(count=lambda stream: 3, encoding=lambda stream: encoding)
    with pytest.raises(UserError, match=r"shape \(3, 2\), one number a row is \(3,\)"):
        objective.forward(context)  # type: ignore[arg-type]


def test_a_frozen_tower_is_refused():
    towers = {"a": TowerConfig(name="toy/mlp"), "b": TowerConfig(name="toy/mlp", freeze=True)}
    objectives = [ObjectiveConfig(name="tower_term", options={"stream": "b", "term": "x"})]
    config = Config(model=ModelConfig(dim=4, towers=towers), objectives=objectives)
    with pytest.raises(UserError, match="the tower of 'b' is frozen"):
        build_objectives(config, build_model(config.model))
