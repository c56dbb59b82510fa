"""Every refusal of a config with its text: (what is replaced in the fine config, by what, the report)."""
# ruff: noqa: E501  (a report is one line)

from __future__ import annotations

import pytest

A = "a: {name: toy/mlp, options: {width: 8}, projection: mlp}"
B = "b: toy/mlp"
PAIR = "pair: [a, b]\n    loss"
OPT = "optimizer: {name: adamw, lr: 1e-3}"
SCHEDULE = "schedule: {name: cosine, warmup_steps: 2}"
TRAIN = "train: {steps: 10, validate_every: 5}"
EVAL = "- {name: retrieval, pair: [a, b]}"
LOSS = "loss: {name: infonce, options: {label_smoothing: 0.1}}"
VAL = "{name: synthetic, options: {size: 16, split: val}}"
SOURCE = "{name: synthetic, options: {size: 64}}"

MISTAKES = [
    # values
    ("dim: 16", "dim: 1.5", "run.yaml:2: model.dim: must be a whole number, not 1.5."),
    ("dim: 16", "dim: 16.0", "run.yaml:2: model.dim: must be a whole number, not 16.0. Write 16."),
    ("dim: 16", "dim: 0", "run.yaml:2: model.dim: must be greater than 0, not 0."),
    ("dim: 16", "dim: true", "run.yaml:2: model.dim: must be a whole number, not true."),
    ("dim: 16", "dim:", "run.yaml:2: model.dim: must be a whole number, not empty."),
    ("dim: 16", "dim: 16\n  dims: 3", "run.yaml:3: model.dims: unknown key. Did you mean dim?"),
    ("lr: 1e-3", "lr: .nan", "run.yaml:15: optimizer.lr: must be a finite number, not nan."),
    ("lr: 1e-3", "lr: .inf", "run.yaml:15: optimizer.lr: must be a finite number, not inf."),
    ("lr: 1e-3", "lr: fast", "run.yaml:15: optimizer.lr: must be a number, not 'fast'."),
    (
        "name: adamw",
        "name: adam-w",
        "run.yaml:15: optimizer.name: must be adamw, adam, sgd, lion or lamb, not 'adam-w'. Did you mean adamw?",
    ),
    (
        "projection: mlp",
        "projection: {name: mlp, hiden: 3}",
        "run.yaml:4: model.towers.a.projection.hiden: unknown key. Did you mean hidden?",
    ),
    (
        "projection: mlp",
        "projection: {nam: mlp}",
        "run.yaml:4: model.towers.a.projection.nam: unknown key. Did you mean name?",
    ),
    (
        "projection: mlp",
        "projection: 3",
        "run.yaml:4: model.towers.a.projection: must be a mapping, linear, mlp, residual or identity, not 3.",
    ),
    (SOURCE, "{nam: synthetic}", "run.yaml:11: data.train.0.nam: unknown key. Did you mean name?"),
    (SOURCE, "{options: {size: 64}}", "run.yaml:11: data.train.0.name: is required."),
    (SOURCE, "[1]", "run.yaml:11: data.train.0: must be a mapping, not a list."),
    (OPT, "optimizer: {betas: [0.9, x]}", "run.yaml:15: optimizer.betas.1: must be a number, not 'x'."),
    (OPT, "optimizer: {betas: [0.9]}", "run.yaml:15: optimizer.betas: takes two numbers, not 1."),
    ("model:\n", "models: {}\nmodel:\n", "run.yaml:1: models: unknown key. Did you mean model?"),
    # names and options
    (B, "b: toy/mlq", "run.yaml:5: model.towers.b.name: unknown tower 'toy/mlq'. Did you mean toy/mlp?"),
    (
        B,
        "b: {name: radar/cnn}",
        "run.yaml:5: model.towers.b.name: unknown tower 'radar/cnn'. No installed plugin brings the modality radar. "
        "Run: pip install anyclip-radar",
    ),
    (
        "width: 8",
        "widht: 8",
        "run.yaml:4: model.towers.a.options.widht: unknown option of toy/mlp. Did you mean width?",
    ),
    ("width: 8", "width: -1", "run.yaml:4: model.towers.a.options.width: must be greater than 0, not -1."),
    (
        "name: infonce",
        "name: infnce",
        "run.yaml:8: objectives.0.loss.name: unknown loss 'infnce'. Did you mean infonce?",
    ),
    (
        "label_smoothing: 0.1",
        "smoothing: 0.1",
        "run.yaml:8: objectives.0.loss.options.smoothing: unknown option of infonce. Did you mean label_smoothing?",
    ),
    (
        PAIR,
        f"similarity: {{name: cosine, options: {{p: 1}}}}\n    {PAIR}",
        "run.yaml:7: objectives.0.similarity.options.p: unknown option of cosine. It takes none.",
    ),
    (
        SOURCE,
        "{name: synthetik}",
        "run.yaml:11: data.train.0.name: unknown reader 'synthetik'. Did you mean synthetic?",
    ),
    (SOURCE, "manifest", "run.yaml:11: data.train.0.options.path: is required."),
    (
        "{name: retrieval",
        "{name: retreival",
        "run.yaml:19: eval.0.name: unknown evaluation 'retreival'. Did you mean retrieval?",
    ),
    (
        TRAIN,
        "train: {steps: 10, loggers: [wand]}",
        "run.yaml:17: train.loggers.0: unknown logger 'wand'. Did you mean wandb?",
    ),
    (TRAIN, "train: {steps: 10, loggers: [mine, mine]}", "run.yaml:17: train.loggers: names a logger twice."),
    (
        TRAIN,
        "train: {steps: 10, loggers: [needy]}",
        "run.yaml:17: train.loggers.0: needy needs not_there, which is not installed: pip install not_there",
    ),
    # streams and references
    (PAIR, PAIR.replace("b]", "c]"), "run.yaml:7: objectives.0.pair.1: no stream 'c'. Streams: a, b."),
    ("pair: [a, b]\n", "pair: [a, b, a]\n", "run.yaml:7: objectives.0.pair: takes two streams, not 3."),
    (
        "pair: [a, b]\n",
        "pair: [a, 'b#x']\n",
        "run.yaml:7: objectives.0.pair.1: 'b#x': a view is written b#1, b#2, ...",
    ),
    ("pair: [a, b]}", "pair: [a, bb]}", "run.yaml:19: eval.0.pair.1: no stream 'bb'. Did you mean b?"),
    (B, "b: {ref: aa}", "run.yaml:5: model.towers.b.ref: no stream 'aa'. Did you mean a?"),
    (
        B,
        "b: {name: toy/mlp, ref: a}",
        "run.yaml:5: model.towers.b: has both name and ref; a tower is either its own or another stream's.",
    ),
    (B, "b: {freeze: true}", "run.yaml:5: model.towers.b: needs a name, or a ref to another stream."),
    (B, "b: {ref: b}", "run.yaml:5: model.towers.b: references go in a circle: b -> b."),
    (
        B,
        "b: {name: toy/joined, options: {frame: {ref: x}}}",
        "run.yaml:5: model.towers.b.options.frame.ref: no stream 'x'. Streams: a.",
    ),
    (
        B,
        "b: {ref: b.c}\n    b.c: toy/mlp",
        "run.yaml:6: model.towers.b.c: bad stream name 'b.c': letters, digits, '_' and '-', a letter first.",
    ),
    # settings that would do nothing
    (
        B,
        "b: toy/mlp\n    c: toy/mlp",
        "run.yaml:6: model.towers.c: does nothing: no objective uses this tower. Add a pair with it, or take it out; "
        "or freeze it and give it `init`.",
    ),
    (
        B,
        "b: toy/mlp\n    c: {name: toy/mlp, init: x, freeze: true}",  # its projection learns from nothing
        "run.yaml:6: model.towers.c: does nothing: no objective uses this tower. Add a pair with it, or take it out; "
        "or freeze it and give it `init`.",
    ),
    (
        B,
        "b: {ref: a, options: {width: 3}}",
        "run.yaml:5: model.towers.b.options: does nothing: the tower belongs to a; set it there.",
    ),
    (
        B,
        "b: {ref: a, freeze: true}",
        "run.yaml:5: model.towers.b.freeze: does nothing: the tower belongs to a; set it there.",
    ),
    (
        B,
        "b: {name: toy/mlp, share_projection: true}",
        "run.yaml:5: model.towers.b.share_projection: does nothing: there is no ref to another stream.",
    ),
    (
        B,
        "b: {ref: a, share_projection: true, projection: mlp}",
        "run.yaml:5: model.towers.b.projection: does nothing: share_projection takes the projection of a.",
    ),
    (
        B,
        "b: {name: toy/mlp, freeze: ['[']}",
        "run.yaml:5: model.towers.b.freeze.0: not a regular expression: unterminated character set at position 0.",
    ),
    (
        B,
        "b: {name: toy/mlp, freeze: true, checkpointing: true}",
        "run.yaml:5: model.towers.b.checkpointing: does nothing: a frozen tower keeps no activations.",
    ),
    (
        B,
        "b: {name: toy/mlp, projection: {hidden: 3}}",
        "run.yaml:5: model.towers.b.projection.hidden: does nothing: a projection linear has none; mlp has one.",
    ),
    (
        B,
        "b: {name: toy/mlp, projection: {dropout: 0.1}}",
        "run.yaml:5: model.towers.b.projection.dropout: does nothing: a projection linear has none; mlp and residual have one.",
    ),
    (
        B,
        "b: {name: toy/mlp, projection: {name: identity, bias: true}}",
        "run.yaml:5: model.towers.b.projection.bias: does nothing: a projection identity has no parameters.",
    ),
    (
        B,
        "b: {name: toy/mlp, projection: identity, freeze_projection: true}",
        "run.yaml:5: model.towers.b.freeze_projection: does nothing: a projection identity has no parameters.",
    ),
    (
        PAIR,
        f"bias: {{init: -1}}\n    {PAIR}",
        "run.yaml:7: objectives.0.bias: does nothing: the loss infonce has no bias.",
    ),
    (
        LOSS,
        "loss: siglip\n    bias: {max: 1}",
        "run.yaml:9: objectives.0.bias.max: does nothing: only a scale is clamped.",
    ),
    (
        LOSS,
        "loss: infonce\n    scale: {init: -1}",
        "run.yaml:9: objectives.0.scale.init: must be greater than 0, not -1.",
    ),
    (LOSS, "loss: infonce\n    scale: {init: 200}", "run.yaml:9: objectives.0.scale.init: init 200 is above max 100."),
    (LOSS, "loss: infonce\n    scale: {max: 5}", "run.yaml:9: objectives.0.scale.max: init 14.2857 is above max 5."),
    (
        LOSS,
        "loss: infonce\n    scale: {learn: false, max: 50}",
        "run.yaml:9: objectives.0.scale.max: does nothing: a scale that is not learned never moves.",
    ),
    (
        LOSS,
        "loss: infonce\n    scale: {share: s}",
        "run.yaml:9: objectives.0.scale.share: does nothing: no other objective shares the scale 's'.",
    ),
    (
        LOSS,
        "options: {x: 1}",
        "run.yaml:8: objectives.0.options: does nothing: a pair has none; options of the loss stand under loss.",
    ),
    (PAIR, "loss", "run.yaml:7: objectives.0: needs a pair of streams, or the name of an objective."),
    (
        PAIR,
        f"name: probe\n    {PAIR}",
        "run.yaml:7: objectives.0: has both pair and name; an objective is a loss on a pair, or a named one.",
    ),
    (
        "pair: [a, b]\n",
        "pair: [b, b]\n    weight: 2\n  - pair: [a, b]\n",
        "run.yaml:7: objectives.0.pair: compares b with the very same values; write b#1 for a second view.",
    ),
    (VAL, VAL[:-1] + ", weight: 2}", "run.yaml:13: data.val.0.weight: does nothing: validation data is not mixed."),
    (VAL, VAL[:-1] + ", length: s}", "run.yaml:13: data.val.0.length: does nothing: it groups the rows of training."),
    (
        SOURCE,
        SOURCE[:-1] + ", length: s}\n  mixing: sample",
        "run.yaml:11: data.train.0.length: it needs `mixing: batch` and no `sampler`.",
    ),
    (
        SOURCE,
        SOURCE[:-1] + ", fields: {aa: col}}",
        "run.yaml:11: data.train.0.fields.aa: no stream, and no objective or evaluation asks for this field. Did you mean a?",
    ),
    (
        SOURCE,
        SOURCE[:-1] + ", fields: {'a#1': col}}",
        "run.yaml:11: data.train.0.fields.a#1: does nothing: no objective uses a#1.",
    ),
    (
        "batch_size: 8",
        "batch_size: 8\n  workers: 0\n  prefetch: 4",
        "run.yaml:16: data.prefetch: does nothing: with workers: 0 nothing is loaded ahead.",
    ),
    (
        TRAIN,
        "train: {steps: 10, devices: 16}",
        "run.yaml:14: data.batch_size: 8 samples cannot be shared by 16 processes; batch_size is global.",
    ),
    (
        TRAIN,
        "train: {steps: 10, devices: [0, 1], num_nodes: 5}",
        "run.yaml:14: data.batch_size: 8 samples cannot be shared by 10 processes; batch_size is global.",
    ),
    (TRAIN, "train: {steps: 10, devices: [0, 0]}", "run.yaml:17: train.devices: must list device numbers, each once."),
    (OPT, "optimizer: {momentum: 0.9}", "run.yaml:15: optimizer.momentum: does nothing: adamw has none; sgd has."),
    (
        OPT,
        "optimizer: {name: sgd, betas: [0.9, 0.99]}",
        "run.yaml:15: optimizer.betas: does nothing: sgd has none; adamw, adam, lion, lamb have.",
    ),
    (
        OPT,
        "optimizer: {name: lion, eps: 1e-8}",
        "run.yaml:15: optimizer.eps: does nothing: lion has none; adamw, adam, lamb have.",
    ),
    (
        OPT,
        "optimizer: {groups: [{match: '(', lr_scale: 2}]}",
        "run.yaml:15: optimizer.groups.0.match: not a regular expression: missing ), unterminated subpattern at position 0.",
    ),
    (
        OPT,
        "optimizer: {groups: [{match: '', lr_scale: 2}]}",
        "run.yaml:15: optimizer.groups.0.match: is empty, which matches every parameter; write '.*' to mean that.",
    ),
    (
        OPT,
        "optimizer: {groups: [{match: x}]}",
        "run.yaml:15: optimizer.groups.0: does nothing: it sets no lr_scale, weight_decay or freeze.",
    ),
    (
        OPT,
        "optimizer: {groups: [{match: x, freeze: true, weight_decay: 0.1}]}",
        "run.yaml:15: optimizer.groups.0.weight_decay: does nothing: frozen parameters are not updated.",
    ),
    (
        SCHEDULE,
        "schedule: {warmup_steps: 11}",
        "run.yaml:16: schedule.warmup_steps: 11 is more than the 10 steps of the run.",
    ),
    (
        SCHEDULE,
        "schedule: {name: constant, final: 0.1}",
        "run.yaml:16: schedule.final: does nothing: the schedule constant never falls.",
    ),
    (TRAIN, "train: {steps: 10, epochs: 2}", "run.yaml:17: train.epochs: stands beside steps; give one of them."),
    (TRAIN, "train: {seed: 1}", "run.yaml:17: train: needs steps or epochs."),
    (f"\neval:\n  {EVAL}", "", "run.yaml:17: train.validate_every: does nothing: there is no evaluation under eval."),
    (
        "eval:\n  ",
        "pair_reduction: sam\neval:\n  ",
        "run.yaml:18: pair_reduction: must be sum, mean or factorial, not 'sam'. Did you mean sum?",
    ),
    (
        EVAL,
        "- {name: retrieval, options: {ks: []}}",
        "run.yaml:19: eval.0.options.ks: must have at least 1 item, not 0.",
    ),
    (
        EVAL,
        "- {name: zero_shot, options: {prompt_stream: x}}",
        "run.yaml:19: eval.0.options.prompt_stream: no stream 'x'. Streams: a, b.",
    ),
    (
        EVAL,
        "- {name: zero_shot, pair: [a, b]}",
        "run.yaml:19: eval.0.pair: does nothing: zero_shot takes none; `anyclip options zero_shot` lists its options.",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "report"), MISTAKES, ids=[report.split(": ", 1)[1][:60] for _, _, report in MISTAKES]
)
def test_mistake(writer, more_parts, old, new, report):
    assert writer.report((old, new)) == [report]


def test_the_fine_config_is_fine(writer):
    assert writer.report() == []
