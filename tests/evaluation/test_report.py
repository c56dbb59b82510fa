"""report.html: complete, self-contained, safe, and honest about what is not there."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from anyclip.checkpoint import save_model_folder
from anyclip.errors import CheckpointError
from anyclip.evaluation import run_evaluations, save_results
from anyclip.evaluation.report import write_report
from anyclip.evaluation.report.charts import Series, line_chart, smoothed, ticks
from anyclip.evaluation.report.results import colour

VOID = {"meta", "img", "br", "line", "path", "circle"}


class Balanced(HTMLParser):
    """Checks nesting; collects text and addresses."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.addresses, self.ids, self.text = [], [], set(), []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.addresses += [attrs[k] for k in ("src", "href", "action", "poster", "data") if k in attrs]
        self.ids.add(attrs.get("id"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parse(path):
    parser = Balanced()
    parser.feed(path.read_text(encoding="utf-8"))
    parser.close()
    assert parser.open == []
    return parser, " ".join(parser.text)


@pytest.fixture
def run(toy_config, twin_model, vectors, tmp_path):
    """A run folder as a training leaves it, with a hostile sample name."""
    paths, _ = vectors(30)
    config = toy_config([{"left": p, "right": paths[i - (i % 7 == 3)]} for i, p in enumerate(paths)])
    model = twin_model(config)
    folder = save_model_folder(tmp_path / "<b>run", model, config)
    records = [
        {
            "step": s,
            "loss": 4 / s,
            "lr": 1e-3 / s,
            "scales": {"left-right": 14 + s},
            "grad_norm": 1.0,
            "samples_per_s": 9,
        }
        for s in range(1, 41)
    ]
    records += [{"step": s, "eval": {"retrieval/left->right/R@1": s / 40}} for s in (20, 40)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records) + '{"step": 41, "lo')
    bad = {
        "dataset": "d",
        "sample": "<script>alert(1)</script>",
        "stream": "left",
        "reason": "x.npy: <img src=http://e>",
    }
    (folder / "quarantine.jsonl").write_text(2 * (json.dumps(bad) + "\n"))
    save_results(folder, run_evaluations(model, config), step=40)
    return folder


def test_holds_everything_and_asks_nothing_of_the_network(run):
    path = write_report(run)
    parser, text = parse(path)
    for section in (
        "Results",
        "Over the steps",
        "Training",
        "Similarity",
        "Examples",
        "Model",
        "Data",
        "Broken values",
    ):
        assert section in text
    assert all(a.startswith(("#", "data:")) for a in parser.addresses)
    assert {a[1:] for a in parser.addresses if a.startswith("#")} <= parser.ids
    raw = path.read_text()
    assert "<script" not in raw
    assert not re.search(r"url\(|@import|srcset|http-equiv=.refresh", raw)
    assert "default-src 'none'" in raw
    assert "x.npy: <img src=http://e>" in text  # shown as text
    assert "left → right" in text
    assert "toy/mlp" in text


def test_numbers_are_those_of_the_results(run):
    _, text = parse(write_report(run))
    latest = json.loads((run / "eval" / "latest.json").read_text())["results"][0]
    shown = f"{100 * latest['numbers']['left->right/R@1']:.1f} %"
    assert shown in text
    assert f"chance {100 * latest['chance']['left->right/R@1']:.1f} %" in text
    assert (run / "eval" / "step-00000040.json").is_file()


def test_a_run_without_evaluations_says_what_to_do(run, tmp_path):
    for file in (run / "eval").iterdir():
        file.unlink()
    _, text = parse(write_report(run, out=tmp_path / "other" / "r.html"))
    assert f"anyclip eval {run}" in text


def test_moved_data_is_named_instead_of_shown(run, tmp_path):
    for file in tmp_path.glob("v*.npy"):
        file.unlink()
    _, text = parse(write_report(run))
    assert "val.jsonl:1" in text


def test_no_run(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no config\.yaml"):
        write_report(tmp_path)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.3, 4.7), (-2e-5, 3e-5), (90, 91), (0, 12345)])
def test_ticks_are_round_and_inside(low, high):
    found = ticks(low, high)
    assert 3 <= len(found) <= 7
    assert all(low - 1e-12 <= t <= high + 1e-12 for t in found)
    steps = {round(b - a, 12) for a, b in pairwise(found)}
    assert len({f"{s:.6g}" for s in steps}) == 1
    assert f"{steps.pop():e}"[:3] in ("1.0", "2.0", "2.5", "5.0")


def test_smoothing_of_a_constant_is_the_constant():
    assert all(math.isclose(y, 3.0) for _, y in smoothed([(i, 3.0) for i in range(50)], 10))


def test_chart_survives_gaps_one_point_and_nothing():
    assert line_chart("t", [Series("a", [(1, float("nan"))])]) == ""
    assert "NaN" not in line_chart("t", [Series("a", [(1, 2.0), (2, float("nan")), (3, 2.0)])])
    assert "<circle" in line_chart("t", [Series("a", [(5, 0.0)])], percent=True)
    big = line_chart("t", [Series("a", [(i, float(i % 7)) for i in range(5000)])], smooth=10)
    assert len(big) < 40_000


def test_colours_span_the_ramp():
    assert colour(0, 0, 1) == "#440154"
    assert colour(1, 0, 1) == "#fde725"
    assert colour(5, 5, 5) == "#440154"
