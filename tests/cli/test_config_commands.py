"""`check`, `options` and `plan`."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from anyclip.config import config_from_dict
from anyclip.config.describe import describe_dataclass, field_docs
from anyclip.testing.toy_options import ToyOptions


def test_check(anyclip, config):
    done = anyclip("check", config)
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        f"{config}: fine. Towers: a (toy/mlp), b (toy/mlp). Objectives: infonce on a-b. 50 steps, batches of 16.\n"
    )


def test_check_reports_every_mistake(anyclip, config):
    done = anyclip("check", config, "train.stepz=3", "model.dim=x")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        "override model.dim=x: model.dim: must be a whole number, not 'x'.",
        "override train.stepz=3: train.stepz: unknown key. Did you mean steps?",
    ]


def test_check_shows_the_resolved_config(anyclip, config, tmp_path):
    done = anyclip("check", config, "train.steps=7", "--show")
    again = tmp_path / "again.yaml"
    again.write_text(done.out)
    assert "  steps: 7\n" in done.out
    assert anyclip("check", again, "--show").out == done.out


def test_check_of_a_model_only(anyclip, tmp_path):
    path = tmp_path / "model.yaml"
    path.write_text("model: {towers: {a: toy/mlp}}\n")
    done = anyclip("check", path)
    assert done.code == 2
    assert done.err.splitlines()[0] == f"{path}: data.train: is empty: a run needs at least one dataset."
    done = anyclip("check", path, "--model-only")
    assert done.out == f"{path}: fine. Towers: a (toy/mlp). No training data: a model only.\n"


@pytest.mark.parametrize("arguments", [["check", "CONFIG"], ["options", "toy/mlp"], ["options", "retrieval"]])
def test_no_torch(config, arguments):
    arguments = [str(config) if a == "CONFIG" else a for a in arguments]
    code = f"import sys; from anyclip.cli.main import run; run({arguments!r}); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False", done.stderr


def test_options(anyclip):
    done = anyclip("options", "toy/mlp")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[:4] == [
        "toy/mlp (tower of anyclip 0.1.0): A small MLP on plain vectors",
        "",
        "size: whole number > 0; default 16",
        "    Length of the input vectors.",
    ]
    assert "dropout: number >= 0, < 1; default 0.0" in done.out
    assert "path: string; required" in anyclip("options", "manifest").out
    assert anyclip("options", "dot").out.endswith("It takes no options.\n")
    assert anyclip("options", "anyclip:toy/mlp").out == done.out


def test_options_as_json(anyclip):
    (part,) = json.loads(anyclip("options", "synthetic", "--json").out)
    fields = {f["name"]: f for f in part["options"]}
    assert fields["split"]["type"] == "train | val | all"
    assert [f["name"] for f in fields["streams"]["inner"]] == ["missing", "options"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnifest", "error: nothing is called 'mnifest'. Did you mean manifest?\n  next: anyclip plugins\n"),
        ("toy/mpl", "error: unknown tower 'toy/mpl'. Did you mean toy/mlp?\n  next: anyclip plugins\n"),
        (
            "radar/cnn",
            "error: unknown tower 'radar/cnn'. No installed plugin brings the modality radar.\n"
            "  next: pip install anyclip-radar\n",
        ),
    ],
)
def test_options_of_an_unknown_part(anyclip, name, message):
    done = anyclip("options", name)
    assert (done.code, done.err) == (2, message)


def test_every_option_of_the_core_is_documented():
    assert set(field_docs(ToyOptions)) == {f.name for f in describe_dataclass(ToyOptions)}


def test_plan(anyclip, config):
    done = anyclip("plan", config, "data.mixing=batch")
    assert (done.code, done.err) == (0, "")
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    # tower a: 16*8+8 + 8*8+8 + 8*8+8; tower b: 16*32+32 + 2*(32*32+32); mlp of width 16: 8*16+16 + 16*16
    assert "tower a ToyTower 8 280 280 0" in lines
    assert "tower b ToyTower 32 2,656 0 2,656" in lines
    assert "projection a MLP 16 400 400 0" in lines
    assert "projection b Linear 16 512 512 0" in lines
    assert "objective a-b PairObjective 1 1 0" in lines
    assert "all 3,849 1,193 2,656" in lines
    # weights 4 * 3849, gradients 4 * 1193, adamw 8 * 1193, average 4 * 3848
    assert "Memory per process: 45.1 kB before activations" in lines
    assert "weights 15.4 kB, gradients 4.8 kB, adamw state 9.5 kB, average (ema) 15.4 kB" in lines
    assert "Steps: 50, batches of 16 rows in all, 1 process" in lines
    # 50 steps, 2 of 3 from the first dataset: 33.3 * 16 rows of its 96, 16.7 * 16 of the second's 32
    assert lines[lines.index("dataset rows epochs rows left out per epoch") + 1].startswith("synthetic 100 5.")
    assert "a - b 15 100%" in lines
    assert "tower a: dropout draws depend on how the batch is cut" in lines
    assert any("no effect in this run" in line for line in lines)


def test_plan_of_other_settings(anyclip, config):
    text = anyclip("plan", config, "train.devices=4", "train.ema=null", "optimizer.name=sgd", "train.micro_batch=2").out
    assert "sgd state 4.8 kB\n" in text
    assert "here 2 rows at a time (micro_batch)" in text
    assert "(in effect in this run)" in text
    sharded = anyclip("plan", config, "train.devices=2", "train.strategy=fsdp").out
    assert "sharded over 2 processes" in sharded
    exact = anyclip("plan", config, "model.towers.a.options.dropout=0").out
    assert "The same global batch gives the same gradient" in exact


@pytest.mark.parametrize(
    ("mixing", "found"),
    [
        ("batch", [(("a", "b"), 15, 0.75), (("a", "c"), 15, 1.0)]),
        ("sample", [(("a", "b"), 11, 1.0), (("a", "c"), 15, 1.0)]),
    ],
)
def test_negatives_come_from_the_datasets_that_bring_the_pair(mixing, found):
    from anyclip.cli.planning import count_negatives

    sources = [{"name": "synthetic", "weight": 3.0}, {"name": "synthetic", "weight": 1.0}]
    loaded = config_from_dict(
        {
            "model": {"towers": dict.fromkeys("abc", "toy/mlp")},
            "objectives": [{"pair": ["a", "b"]}, {"pair": ["a", "c"]}],
            "data": {"train": sources, "batch_size": 16, "mixing": mixing},
            "train": {"steps": 1},
        }
    )
    objectives = SimpleNamespace(edges={"a-b": ("a", "b"), "a-c": ("a", "c")})
    data = SimpleNamespace(sources=[SimpleNamespace(streams="abc"), SimpleNamespace(streams="ac")])
    assert [(n.pair, n.per_row, n.share) for n in count_negatives(loaded, objectives, data)] == found


def test_plan_counts_the_datasets_that_have_the_streams(anyclip, config):
    source = "{name: synthetic, weight: %s, options: {size: 8, streams: {%s: {missing: %s}}}}"
    data = f"data.train=[{source % (3, 'b', 1.0)}, {source % (1, 'c', 0.5)}]"
    three = ["model.towers.c=toy/mlp", "objectives=[{pair: [a, b]}, {pair: [a, c]}]", "data.batch_size=4"]
    done = anyclip("plan", config, data, *three)
    assert done.code == 0, done.err
    shares = {line[:5]: line.split()[-1] for line in done.out.splitlines() if line.startswith("a - ")}
    assert shares == {"a - b": "25%", "a - c": "100%"}


def test_plan_refuses_what_cannot_be_trained(anyclip, config, tmp_path):
    done = anyclip("plan", config, "data.batch_size=64")
    assert done.code == 2
    assert "the dataset has 40 rows, but data.batch_size is 64." in done.err
    assert "Parameters (joint width 16)" in done.out
