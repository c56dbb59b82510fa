"""Gap, alignment and uniformity on cases computed by hand; what is said of pairs never trained together."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from anyclip.checkpoint import save_model_folder
from anyclip.cli.main import run
from anyclip.errors import UserError
from anyclip.evaluation import run_evaluations
from anyclip.evaluation.modality_gap import uniformity
from anyclip.model import build_model


def identity_model(config):
    """Every tower gives its input: the weights of a deep toy tower are chosen so."""

    class Same(torch.nn.Module):
        def forward(self, encoding):
            return encoding

    model = build_model(config.model, seed=0)
    for stream in model.streams:
        tower = model.tower(stream)
        tower.blocks, tower.head = torch.nn.ModuleList([Same()]), torch.nn.Linear(8, 8, bias=False)
        projection = torch.nn.Linear(8, 8, bias=False)
        for layer in (tower.head, projection):
            torch.nn.init.eye_(layer.weight)
        model.projections[stream] = projection
    return model


@pytest.fixture
def rows(tmp_path):
    """Two streams in a plane: left at 0 and 90 degrees, right 60 degrees further each."""

    def unit(degrees):
        x = np.zeros(8, dtype=np.float32)
        x[:2] = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        return [float(v) for v in x]

    return [{"left": unit(angle), "right": unit(angle + 60)} for angle in (0, 90)]


def test_hand_computed(toy_config, rows):
    config = toy_config(rows, eval=[{"name": "modality_gap"}])
    (result,) = run_evaluations(identity_model(config), config)
    want = {
        "left-right/centroid_gap": math.sqrt(0.5),  # means of length 1/sqrt 2, 60 degrees apart
        "left-right/alignment": 1.0,  # 2 - 2 cos 60
        "left-right/matched_cosine": 0.5,
        "left-right/unmatched_cosine": (math.cos(math.radians(150)) + math.cos(math.radians(30))) / 2,
        "left/mean_norm": math.sqrt(0.5),
        "right/mean_norm": math.sqrt(0.5),
        "left/uniformity": -4.0,  # squared distance 2 of the only pair
        "right/uniformity": -4.0,
    }
    assert result.numbers == pytest.approx(want, abs=1e-6)
    assert result.intervals["left-right/alignment"] == pytest.approx((1.0, 1.0), abs=1e-6)
    assert result.info["trained"] == {"left-right": True}
    assert result.info["pairs"] == {"left-right": {"rows": 2, "matched": 2}}


def test_equal_contents_count_once(toy_config, rows):
    config = toy_config([*rows, rows[0], {"left": rows[0]["left"]}], eval=[{"name": "modality_gap"}])
    (result,) = run_evaluations(identity_model(config), config)
    assert result.numbers["left/uniformity"] == pytest.approx(-4.0, abs=1e-6)
    assert result.numbers["left-right/alignment"] == pytest.approx(1.0, abs=1e-6)


def test_uniformity_of_many_rows():
    x = torch.nn.functional.normalize(torch.randn(700, 5, dtype=torch.float64), dim=1)
    squared = torch.cdist(x, x).square()
    off = ~torch.eye(700, dtype=torch.bool)
    assert uniformity(x) == pytest.approx(float(torch.exp(-2 * squared)[off].mean().log()), abs=1e-9)


def test_one_item_has_no_uniformity(toy_config, rows):
    config = toy_config(rows[:1], eval=[{"name": "modality_gap"}])
    (result,) = run_evaluations(identity_model(config), config)
    assert "left/uniformity" not in result.numbers
    assert "left-right/unmatched_cosine" not in result.numbers
    assert result.numbers["left-right/alignment"] == pytest.approx(1.0, abs=1e-6)


def test_an_unknown_stream_is_named(toy_config, rows):
    config = toy_config(rows, streams=("left", "right"), eval=[{"name": "modality_gap", "pair": ["left", "right"]}])
    config.data.val[0].fields = {"right": "left"}
    config.eval[0].pair = ["left", "rihgt"]
    with pytest.raises(UserError, match="rihgt"):
        run_evaluations(identity_model(config), config)


def test_emergent_pairs_say_what_binds_them(toy_config, vectors, tmp_path, capsys):
    paths, _ = vectors(12)
    streams = ("left", "middle", "right")
    config = toy_config([dict.fromkeys(streams, p) for p in paths], streams=streams)
    results = run_evaluations(build_model(config.model), config)
    found = {tuple(r.info["pair"]): (r.info["trained"], r.info["through"]) for r in results}
    assert found["left", "right"] == (False, ["middle"])
    assert found["left", "middle"][0] is True
    folder = save_model_folder(tmp_path / "model", build_model(config.model), config)
    assert run(["eval", str(folder), "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if "left-right/centroid_gap" in line)
    assert line.endswith("no, through middle")
    assert "%" not in line
    assert next(line for line in out.splitlines() if "left->right/R@1 " in line).endswith("no, through middle")
    assert next(line for line in out.splitlines() if "left->middle/R@1 " in line).endswith("yes")
    saved = json.loads((folder / "eval" / "latest.json").read_text())["results"][-1]
    assert saved["info"]["through"]["left-right"] == ["middle"]
    page = (folder / "report.html").read_text()
    assert "emergent, bound through middle" in page
    assert "centroid gap" in page
    assert "never trained together (emergent): left-right" in page


def test_a_learned_similarity_counts_as_trained(toy_config, vectors, monkeypatch):
    from anyclip.evaluation import run as running
    from anyclip.similarities import create_similarity

    def learned(name, **options):
        similarity = create_similarity("cosine", **options)
        if name == "dot":
            similarity.weight = torch.nn.Parameter(torch.ones(1))
        return similarity

    monkeypatch.setattr(running, "create_similarity", learned)
    paths, _ = vectors(6)
    config = toy_config([{"left": p, "right": p} for p in paths])
    config.objectives[0].similarity = "dot"
    (result,) = run_evaluations(build_model(config.model), config)
    assert result.info["trained"] is True
    assert result.info["similarity"] == "cosine"
