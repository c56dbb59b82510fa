"""The shipped recipes are valid as they stand, and train with small towers in place of the published ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from anyclip.cli import main

from .cases_points import CASES
from .conftest import SHARED, cloud

pytest.importorskip("anyclip_image")
pytest.importorskip("anyclip_text")

ROOT = Path(__file__).resolve().parents[3]
RECIPES = ROOT / "configs" / "recipes"
POINTS = {"ulip": ("pointbert", {"feature": "concat"}), "uni3d": ("uni3d", {"colors": True, "color_drop": 0.5})}
IMAGE = {"vision_cfg": {"image_size": 32, "patch_size": 8, "width": 64, "layers": 1, "head_width": 64}}
TEXT = {"text_cfg": {"context_length": 12, "width": 64, "heads": 1, "layers": 1}}


@pytest.fixture
def table(tmp_path) -> Path:
    """Twelve objects, the last without a picture."""
    from PIL import Image

    rows = []
    for i in range(12):
        np.save(tmp_path / f"{i}.npy", cloud(60, seed=i, columns=6))
        Image.fromarray(np.full((24, 24, 3), 20 * i, np.uint8)).save(tmp_path / f"{i}.png")
        row = {"points": f"{i}.npy", "image": f"{i}.png" if i < 11 else None, "text": [f"thing {i}", f"a {i}"]}
        rows.append({**row, "split": "train" if i < 8 else "test"})
    (tmp_path / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "table.jsonl"


def run(*arguments: str) -> None:
    assert main.run(list(arguments)) == 0


@pytest.mark.parametrize("recipe", POINTS)
def test_recipe(recipe, table, tmp_path):
    path = RECIPES / f"{recipe}.yaml"
    if not path.is_file():
        pytest.skip(f"the recipes are not there: {RECIPES}")
    run("check", str(path))
    name, more = POINTS[recipe]
    dim = 20
    options = {**CASES[name][1], **more, **({"output": "projected", "dim": dim} if name == "uni3d" else {})}
    towers = {
        "points": options,
        "image": {"model": {"embed_dim": dim, **IMAGE}, "output": "projected", "augment": "none"},
        "text": {"model": {"embed_dim": dim, **TEXT}, "output": "projected"},
    }
    overrides = [f"model.towers.{stream}.options={json.dumps(value)}" for stream, value in towers.items()]
    overrides += [f"data.{part}.0.options.path={table}" for part in ("train", "val")]
    overrides += [f"model.dim={dim}", "data.batch_size=4", "data.workers=0", "train.precision=32-true"]
    overrides += ["train.epochs=null", "train.steps=2", "train.threads=1", "schedule.warmup_steps=0"]
    out = tmp_path / "run"
    run("train", str(path), *overrides, f"train.out={out}", "--quiet")
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    measured = next(line["eval"] for line in lines if "eval" in line)
    assert "retrieval/points->text/macro_R@10" in measured
    terms = [line["terms"] for line in lines if "terms" in line]
    assert set(terms[-1]) == {"points-text", "points-image"}


@pytest.mark.parametrize("system", ["ulip", "uni3d"])
def test_recorded_values_of_the_originals(system):
    """The comparison is tests/parity_pointcloud_points.py; here it runs with the plugin's tests."""
    path, top = SHARED / "reference" / "pointcloud" / f"{system}.json", ROOT / "tests"
    if not path.is_file() or not (top / "parity_pointcloud_points.py").is_file():
        pytest.skip(f"the reference file or the comparison is not there: {path}")
    import sys

    sys.path.insert(0, str(top))
    try:
        import parity_pointcloud_points

        lines = list(parity_pointcloud_points.run(path, json.loads(path.read_text())))
    finally:
        sys.path.pop(0)
    assert len(lines) >= 8
    assert not [str(line) for line in lines if line.status != "pass"]
