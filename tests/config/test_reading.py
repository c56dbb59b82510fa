"""YAML: what it means, where it stands, how it is written again."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from anyclip.config import config_from_dict, dump_config, load_config, named, projection
from anyclip.config.schema import Named, ProjectionConfig
from anyclip.config.source import parse_source
from anyclip.config.validate import build_dataclass
from anyclip.errors import ConfigError
from anyclip.testing.toy_options import ToyOptions


def test_yaml_1_2_scalars():
    data = parse_source(
        "float: 1e-3\nint: 010\noctal: 0o10\nno: NO\non: on\ndate: 2020-01-01\ntime: 2001-12-14t21:59:43.10-05:00\n"
        "null_: ~\n1: one\nbig: 1_000\n",
        name="x.yaml",
    ).data
    assert data == {
        "float": 0.001,
        "int": 10,
        "octal": 8,
        "no": "NO",
        "on": "on",
        "date": "2020-01-01",
        "time": "2001-12-14t21:59:43.10-05:00",
        "null_": None,
        "1": "one",
        "big": 1000,
    }


def test_a_date_is_a_string_for_every_setting(writer):
    config = writer.load(("{size: 64}}", "{size: 64}, fields: {a: 2020-01-01}}"))
    assert config.data.train[0].fields == {"a": "2020-01-01"}


def test_anchors_and_merge_keys(writer):
    text = (
        "model:\n  towers:\n    a: &t {name: toy/mlp, options: {width: 4}}\n    b: {<<: *t, freeze: true}\n    c: *t\n"
    )
    towers = writer.load(text=text).model.towers
    assert towers["a"] == towers["c"]
    assert (towers["b"].options, towers["b"].freeze) == ({"width": 4}, True)


@pytest.mark.parametrize(
    ("text", "report"),
    [
        ("", "run.yaml:1: is empty; a config is a mapping with model, objectives, data ..."),
        ("- a\n", "run.yaml:1: holds a list; a config is a mapping with model, objectives, data ..."),
        ("a: [1\n", "run.yaml:2: not valid YAML: expected ',' or ']', but got '<stream end>'."),
        ("a: b: c\n", "run.yaml:1: not valid YAML: mapping values are not allowed here."),
        ("a:\n\t- x\n", "run.yaml:2: not valid YAML: found character '\\t' that cannot start any token."),
        ("a: 1\n---\nb: 2\n", "run.yaml:2: not valid YAML: but found another document."),
    ],
)
def test_not_a_config(writer, text, report):
    assert writer.report(text=text) == [report]


@pytest.mark.parametrize(
    ("text", "report"),
    [
        (
            "x: 1\ny:\n  z: 1\n  z: 2\nx: 3\n",
            ["f:4: y.z: given twice, first on line 3.", "f:5: x: given twice, first on line 1."],
        ),
        ("a: !!python/object:os.system x\n", ["f:1: a: the tag !!python/object:os.system is not allowed in a config"]),
        ("a: !mine x\n", ["f:1: a: the tag !mine is not allowed in a config"]),
        ("a: &x\n  b: *x\n", ["f:2: a.b: an alias inside its own anchor"]),
        ("? [1, 2]\n: x\n", ["f:1: a key must be plain text"]),
        ("a:\n  <<: 3\n", ["f:2: a: << takes a mapping or a list of mappings"]),
    ],
)
def test_problems_inside_yaml(text, report):
    assert [str(p) for p in parse_source(text, name="f").problems] == report


def test_files_that_cannot_be_read(tmp_path):
    def report(path: Path) -> str:
        with pytest.raises(ConfigError) as caught:
            load_config(path)
        return str(caught.value).replace(str(tmp_path), "T")

    (tmp_path / "audio-text.yaml").write_text("x")
    assert report(tmp_path / "audio_text.yaml") == "T/audio_text.yaml: no such file. Did you mean audio-text.yaml?"
    assert report(tmp_path / "zzz.yaml") == "T/zzz.yaml: no such file. Configs in T: audio-text.yaml."
    assert report(tmp_path / "gone" / "a.yaml") == "T/gone/a.yaml: no such file."
    assert report(tmp_path) == "T: is a folder; a config is one YAML file."
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("x")
    assert report(tmp_path / "run") == "T/run: is a folder; a config is one YAML file. Did you mean T/run/config.yaml?"
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff")
    assert report(tmp_path / "latin.yaml") == "T/latin.yaml: is not UTF-8 text: invalid start byte at byte 3."


def test_base_is_the_folder_of_the_file(writer, tmp_path):
    config = writer.load()
    assert config.base == str(tmp_path)
    assert writer.load(("model:\n  dim", "base: data\nmodel:\n  dim")).base == str(tmp_path / "data")
    assert writer.load(("model:\n  dim", "base: /data\nmodel:\n  dim")).base == "/data"


def test_written_and_read_again(writer, tmp_path):
    config = writer.load(
        ("b: toy/mlp", "b: {ref: a, projection: {name: mlp, hidden: 3}}"),
        (
            "optimizer: {name: adamw, lr: 1e-3}",
            "optimizer: {name: sgd, lr: 1e-6, groups: [{match: 'b$', freeze: true}]}",
        ),
        ("batch_size: 8", "batch_size: 8\n  workers: 0"),
    )
    (tmp_path / "elsewhere").mkdir()
    copy = tmp_path / "elsewhere" / "config.yaml"
    copy.write_text(dump_config(config))
    assert load_config(copy) == config
    assert "betas" not in copy.read_text()  # sgd has none: a setting without effect is not written
    assert dump_config(load_config(copy)) == copy.read_text()


def test_config_from_plain_values():
    data = {
        "model": {"dim": 8, "towers": {"a": {"name": "toy/mlp", "options": {"width": np.int64(3)}}, "b": "toy/mlp"}},
        "objectives": [{"pair": ["a", "b"], "loss": "siglip", "bias": {"init": -5.0}}],
    }
    config = config_from_dict(data)
    assert config.model.towers["b"].name == "toy/mlp"
    assert config.model.towers["a"].options == {"width": 3}
    assert config.base is None
    assert pickle.loads(pickle.dumps(config)) == config
    with pytest.raises(ConfigError, match=r"^mine: must be a mapping, not list.$"):
        config_from_dict([], name="mine")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^config: model.dim: must be a plain value, not object.$"):
        config_from_dict({**data, "model": {**data["model"], "dim": object()}})


def test_short_forms(writer):
    config = writer.load(
        ("{name: adamw, lr: 1e-3}", "lion"),
        ("{name: cosine, warmup_steps: 2}", "constant"),
        ("- {name: retrieval, pair: [a, b]}", "- retrieval"),
        ("- {name: synthetic, options: {size: 64}}", "- synthetic"),
    )
    assert (config.optimizer.name, config.schedule.name) == ("lion", "constant")
    assert (config.eval[0].name, config.data.train[0].name) == ("retrieval", "synthetic")
    assert named("cosine") == named(Named(name="cosine")) == Named(name="cosine")
    assert projection("mlp") == projection(ProjectionConfig(name="mlp")) == ProjectionConfig(name="mlp")


def test_build_dataclass():
    assert build_dataclass(ToyOptions, {"width": 3, "noise": 1}, label="toy") == ToyOptions(width=3, noise=1.0)
    with pytest.raises(ConfigError) as caught:
        build_dataclass(
            ToyOptions, {"widht": 3, "depth": "2", "noise": float("nan"), "dropout": 1}, label="tower toy/mlp"
        )
    assert str(caught.value).splitlines() == [
        "tower toy/mlp: noise: must be a finite number, not nan.",
        "tower toy/mlp: depth: must be a whole number, not '2'.",
        "tower toy/mlp: dropout: must be less than 1, not 1.",
        "tower toy/mlp: widht: unknown key. Did you mean width?",
    ]


def test_no_torch(writer):
    path = writer.write()
    code = (
        f"import sys; from anyclip.config import load_config; load_config({str(path)!r}); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
