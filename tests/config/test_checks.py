"""Checks that need more than one change, and what they do not refuse."""

from __future__ import annotations

import re

import pytest

from anyclip.config import check_trainable, config_from_dict
from anyclip.errors import ConfigError

B, PAIR = "b: toy/mlp", "pair: [a, b]\n    loss: {name: infonce, options: {label_smoothing: 0.1}}"
TRAIN = "train: {steps: 10, validate_every: 5}"


def test_every_mistake_at_once_in_the_order_of_the_file(writer):
    changes = [
        ("dim: 16", "dim: x"),
        ("width: 8", "widht: 8"),
        ("name: infonce", "name: infonc"),
        ("batch_size: 8", "batch_size: 8\n  batch_size: 9\n  wokers: 1"),
        ("lr: 1e-3", "lr: -1, momentum: 0.5"),
        ("warmup_steps: 2", "warmup_steps: 20"),
    ]
    report = writer.report(*changes, overrides=("train.seed=-1", "trian.steps=3"))
    assert report == [
        "run.yaml:2: model.dim: must be a whole number, not 'x'.",
        "run.yaml:4: model.towers.a.options.widht: unknown option of toy/mlp. Did you mean width?",
        "run.yaml:8: objectives.0.loss.name: unknown loss 'infonc'. Did you mean infonce?",
        "run.yaml:15: data.batch_size: given twice, first on line 14.",
        "run.yaml:16: data.wokers: unknown key. Did you mean workers?",
        "run.yaml:17: optimizer.lr: must be greater than 0, not -1.",
        "run.yaml:17: optimizer.momentum: does nothing: adamw has none; sgd has.",
        "run.yaml:18: schedule.warmup_steps: 20 is more than the 10 steps of the run.",
        "override train.seed=-1: train.seed: must be at least 0, not -1.",
        "override trian.steps=3: trian: unknown key. Did you mean train?",
    ]


def test_a_refused_value_causes_no_second_complaint(writer):
    assert writer.report((TRAIN, "train: {steps: many}")) == [
        "run.yaml:17: train.steps: must be a whole number, not 'many'."
    ]
    assert writer.report(("warmup_steps: 2", "warmup_steps: 20"), (TRAIN, "train: {steps: many}")) == [
        "run.yaml:17: train.steps: must be a whole number, not 'many'."
    ]
    assert writer.report(("pair: [a, b]\n", "pair: [a, 3]\n")) == [
        "run.yaml:7: objectives.0.pair.1: must be a string, not 3."
    ]


def test_relations_are_reported_beside_other_mistakes(writer, more_parts):
    def report(options: str) -> list[str]:
        found = writer.report((B, f"b: {{name: toy/related, options: {options}}}"))
        return [line.removeprefix("run.yaml:5: model.towers.b.options") for line in found]

    relation = ".low: low (3) is above high (1)."
    assert report("{low: 3}") == [relation]
    assert report("{low: 3, hihg: 9}") == [".hihg: unknown option of toy/related. Did you mean high?"]
    assert report("{low: 3, other: 9}") == [".other: unknown option of toy/related. Known: high, low.", relation]
    assert report("{low: x, high: -5}") == [".low: must be a whole number, not 'x'."]


def test_circle_of_references(writer, more_parts):
    circle = "b: {name: toy/joined, options: {frame: {ref: c}}}\n    c: {ref: d}\n    d: {ref: c}"
    assert writer.report((B, circle)) == ["run.yaml:6: model.towers.c: references go in a circle: c -> d -> c."]


def test_towers_used_through_others_are_used(writer, more_parts):
    towers = "b: {name: toy/joined, options: {frame: {ref: c}, more: {x: {ref: e}}}}\n"
    assert not writer.report((B, towers + "    c: {ref: d}\n    d: toy/mlp\n    e: toy/mlp"))


def test_a_tower_inside_a_tower_is_checked(writer, more_parts):
    def report(inner: str, more: str = "") -> list[str]:
        found = writer.report((B, f"b: {{name: toy/joined, options: {{inner: {inner}}}}}{more}"))
        return [line.removeprefix("run.yaml:5: model.towers.b.options.inner") for line in found]

    assert not report("{name: toy/mlp, options: {size: 4}}")
    assert not report("{ref: c}", "\n    c: toy/mlp")
    assert report("{ref: x}") == [".ref: no stream 'x'. Streams: a."]
    assert report("{name: toy/mpl}")[0].startswith(".name: unknown tower 'toy/mpl'. Did you mean toy/mlp?")
    assert report("{name: toy/mlp, options: {widht: 3}}") == [
        ".options.widht: unknown option of toy/mlp. Did you mean width?"
    ]
    deep = "{name: toy/joined, options: {inner: {name: toy/mlp, options: {size: 0}}}}"
    assert report(deep)[0].startswith(".options.inner.options.size: must be")
    assert report("{name: toy/mlp, ref: c}", "\n    c: toy/mlp")[0].startswith(
        ".ref: a tower inside another has a `ref`"
    )
    assert report("{ref: c, options: {size: 4}}", "\n    c: toy/mlp")[0].startswith(".ref: a `ref` takes no `options`")


def test_everything_frozen(writer):
    still = "freeze: true, projection: identity}"
    found = writer.report(("projection: mlp}", still), (B, "b: {ref: a, share_projection: true}"))
    assert found == [
        "run.yaml:4: model.towers: every tower and projection is frozen: nothing is left to train."
    ] or found == ["run.yaml:3: model.towers: every tower and projection is frozen: nothing is left to train."]


def test_shared_scales_must_agree(writer):
    edges = "pair: [a, b]\n    scale: {share: s}\n  - pair: [b, a]\n    scale: {share: s%s}\n    loss: infonce"
    assert not writer.report((PAIR, edges % ""))
    assert writer.report((PAIR, edges % ", init: 5")) == [
        "run.yaml:10: objectives.1.scale: shares the scale 's' with objectives.0.scale but sets it differently."
    ]


def test_named_objectives(writer, more_parts):
    def report(text: str, *changes) -> list[str]:
        return writer.report((PAIR, f"{PAIR}\n  - {text}"), *changes)

    assert not report("{name: probe}")
    assert report("{name: prob}") == ["run.yaml:9: objectives.1.name: unknown objective 'prob'. Did you mean probe?"]
    assert report("{name: probe, options: {stream: z}}") == [
        "run.yaml:9: objectives.1.options.stream: no stream 'z'. Streams: a, b."
    ]
    assert report("{name: probe, loss: siglip}") == [
        "run.yaml:9: objectives.1.loss: does nothing: it belongs to a pair; options of probe stand under options."
    ]
    micro = (TRAIN, "train: {steps: 10, micro_batch: 2}")
    assert not report("{name: probe}", micro)
    assert report("{name: again}", micro) == [
        "run.yaml:18: train.micro_batch: the objective again runs towers again, "
        "which micro_batch cannot repeat exactly."
    ]
    label = ("{size: 64}}", "{size: 64}, fields: {label: class, a: x}}")  # `probe` asks for the field `label`
    assert not report("{name: probe}", label)


def test_reduction_without_pairs(writer, more_parts):
    probe = "name: probe\n  - {name: probe, options: {stream: b}}"
    reduced = ("eval:\n", "pair_reduction: mean\neval:\n")
    assert not writer.report((PAIR, probe))
    assert writer.report((PAIR, probe), reduced) == [
        "run.yaml:18: pair_reduction: does nothing: no objective is a loss on a pair."
    ]


def test_evaluation_needs_validation_data(writer):
    without = ("  val:\n    - {name: synthetic, options: {size: 16, split: val}}\n", "")
    assert writer.report(without) == [
        "run.yaml:15: train.validate_every: does nothing: there is no data.val.",
        "run.yaml:16: eval: does nothing: there is no data.val to evaluate on.",
    ]


def test_views_are_streams(writer):
    assert not writer.report(
        (PAIR, "{pair: [a, 'a#1']}\n  - {pair: [a, 'b#2']}"),
        ("{size: 64}}", "{size: 64}, fields: {'b#2': x}}"),
    )


@pytest.mark.parametrize(
    ("data", "report"),
    [
        ({}, "config: model: is required."),
        ({"model": {}}, "config: model.towers: is required."),
        ({"model": {"towers": {}}}, "config: model.towers: is empty: a model has at least one tower."),
        ({"model": {"towers": []}}, "config: model.towers: must be a mapping, not a list."),
        ({"model": None}, "config: model: is required."),
    ],
)
def test_without_a_model(data, report):
    with pytest.raises(ConfigError, match=f"^{re.escape(report)}$"):
        config_from_dict(data)


def test_a_model_only_config_cannot_be_trained():
    config = config_from_dict({"model": {"towers": {"a": "toy/mlp"}}})
    with pytest.raises(ConfigError) as caught:
        check_trainable(config, name="model.yaml")
    assert str(caught.value).splitlines() == [
        "model.yaml: data.train: is empty: a run needs at least one dataset.",
        "model.yaml: objectives: is empty: a run needs at least one objective.",
        "model.yaml: train: needs steps or epochs.",
    ]
