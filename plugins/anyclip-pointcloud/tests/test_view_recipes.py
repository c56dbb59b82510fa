"""The shipped recipes of PointCLIP, CLIP2Point and CLIP2 are valid as they stand, and run with small towers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from anyclip.cli import main

from .conftest import cloud

pytest.importorskip("anyclip_image")
pytest.importorskip("anyclip_text")

ROOT = Path(__file__).resolve().parents[3]
RECIPES = ROOT / "configs" / "recipes"
DIM = 16
IMAGE = {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16}
TEXT = {"context_length": 12, "width": 32, "heads": 2, "layers": 1}
TOWERS = {
    "image": {"model": {"embed_dim": DIM, "vision_cfg": IMAGE}, "output": "projected", "augment": "none"},
    "text": {"model": {"embed_dim": DIM, "text_cfg": TEXT}, "output": "projected"},
}
SHAPES = {"flat": (1, 0.1, 1), "long": (0.1, 1, 0.1), "round": (1, 1, 1), "wide": (1, 0.4, 0.4)}
SMALL = {"points": 64}
POINTS = {
    "pointclip": {**SMALL, "resolution": 34, "image": {"ref": "image"}},
    "pointclip-few-shot": {**SMALL, "canvas": 32, "views": 10, "adapter": "inter_view", "image": {"ref": "image"}},
    "clip2point": {
        **SMALL,
        "views": [[0, 0]],
        "jitter_distance": 0.1,
        "unit": False,
        "image": {"name": "image/open_clip", "options": TOWERS["image"]},
    },
    "clip2": {**SMALL, "centres": [16, 8], "radius": 0.5, "width": 64},
}


@pytest.fixture
def table(tmp_path) -> Path:
    """Clouds of four shapes, a picture and a word for each."""
    from PIL import Image

    rows = []
    for i in range(16):
        label = list(SHAPES)[i % 4]
        np.save(tmp_path / f"{i}.npy", cloud(80, seed=i) * SHAPES[label])
        Image.fromarray(np.full((24, 24, 3), 15 * i, np.uint8)).save(tmp_path / f"{i}.png")
        row = {"points": f"{i}.npy", "image": f"{i}.png", "text": label, "label": label}
        rows.append({**row, "split": "train" if i < 8 else "test"})
    (tmp_path / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "table.jsonl"


def run(*arguments: str) -> None:
    assert main.run(list(arguments)) == 0


def overrides(recipe: str, table: Path) -> list[str]:
    towers = {"points": POINTS[recipe], **({} if recipe == "clip2point" else {"text": TOWERS["text"]})}
    towers["image"] = TOWERS["image"]
    found = [f"model.towers.{stream}.options={json.dumps(options)}" for stream, options in towers.items()]
    return [*found, f"model.dim={DIM}", f"data.val.0.options.path={table}", "data.workers=0"]


pytestmark = pytest.mark.skipif(not RECIPES.is_dir(), reason=f"the recipes are not there: {RECIPES}")


@pytest.mark.parametrize("recipe", POINTS)
def test_recipes_are_valid_as_they_stand(recipe):
    run("check", str(RECIPES / f"{recipe}.yaml"), *(["--model-only"] if recipe == "pointclip" else []))


@pytest.mark.parametrize("recipe", [name for name in POINTS if name != "pointclip"])  # it trains nothing
def test_recipe(recipe, table, tmp_path):
    path, out = str(RECIPES / f"{recipe}.yaml"), tmp_path / "run"
    changed = overrides(recipe, table)
    changed += [f"data.train.0.options.path={table}", "data.batch_size=8", "train.precision=32-true"]
    changed += ["train.epochs=null", "train.steps=2", "train.threads=1", "schedule.warmup_steps=0"]
    changed += ["train.validate_every=2", "train.checkpoint_every=2"]
    if recipe == "pointclip-few-shot":
        changed.append(f"objectives.0.options.classes={json.dumps(list(SHAPES))}")
    run("train", path, *changed, f"train.out={out}", "--quiet")
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    terms = [line["terms"] for line in lines if "terms" in line][-1]
    wanted = {
        "pointclip-few-shot": {"class_prompts"},
        "clip2point": {"paired_views.other", "paired_views.views", "paired_views.balance"},
        "clip2": {"points-text", "points-image"},
    }
    assert set(terms) == wanted[recipe]
    assert [line["eval"] for line in lines if "eval" in line]


def test_zero_shot_needs_no_training(table, tmp_path, capsys):
    prompts = {label: [f"a {label} thing.", f"it is {label}", label] for label in SHAPES}
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    options = {
        "stream": "points",
        "prompts": str(tmp_path / "prompts.json"),
        "search": ["prompts", "weights"],
        "holdout": 0.5,
        "starts": 2,
    }
    changed = [*overrides("pointclip", table), f"eval.1.options={json.dumps(options)}"]
    out = tmp_path / "out"
    run("eval", str(RECIPES / "pointclip.yaml"), *changed, "--out", str(out), "--device", "cpu", "--json")
    plain, searched = json.loads(capsys.readouterr().out)["results"]
    assert plain["info"]["rows"] == 16
    assert plain["numbers"]["points/top1"] >= 0
    assert searched["info"]["searched_rows"] == searched["info"]["rows"] == 8
    assert searched["info"]["searched_top1"][1] >= searched["info"]["searched_top1"][0]
    assert len(searched["info"]["weights"]) == 10
    assert all(text in prompts[label] for label, text in searched["info"]["prompts"].items())
    assert (out / "report.html").is_file()
    weights = out / "model.safetensors"  # a model folder: the image tower once, nothing of its own for the points
    from safetensors import safe_open

    with safe_open(weights, framework="pt") as file:
        assert not [name for name in file.keys() if name.startswith("towers.points")]  # noqa: SIM118
    run("eval", str(out), *changed[-1:], "--device", "cpu", "--no-report")
