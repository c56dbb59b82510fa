"""The recipes of audio systems are valid as they stand, and train with small towers in place of the published ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anyclip.cli import main

from .cases import CASES
from .conftest import clip, encoded
from .speech_cases import TINY

pytest.importorskip("anyclip_image")
pytest.importorskip("anyclip_text")

RECIPES = Path(__file__).resolve().parents[3] / "configs" / "recipes"
VISION = {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16}
TEXT = {"context_length": 24, "width": 32, "heads": 2, "layers": 1}
BERT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 259}


def image(dim: int) -> dict[str, Any]:
    return {"model": {"embed_dim": dim, "vision_cfg": VISION}, "output": "projected", "augment": "none"}


def text(dim: int) -> dict[str, Any]:
    return {"model": {"embed_dim": dim, "text_cfg": TEXT}, "output": "projected", "tokenizer": "bytes"}


def small(recipe: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """(joint width, stream -> options of a small tower)."""
    if recipe == "clap":
        words = {"model": {"model_type": "bert", **BERT}, "tokenizer": "bytes", "context_length": 24}
        return 16, {"audio": CASES["htsat-fusion"][1], "text": words}
    if recipe == "audioclip":
        sounds = {**CASES["esresnext"][1], "output": "projected", "dim": 16}
        return 16, {"audio": sounds, "image": image(16), "text": text(16)}
    if recipe == "wav2clip":
        return 512, {"audio": CASES["wav2clip"][1], "image": image(512), "text": text(512)}
    speech = {**TINY["speechclip"], "output": "projected", "dim": 16}
    return 16, {"speech": speech, "image": image(16), "text": text(16)}


@pytest.fixture
def table(tmp_path) -> Path:
    """Twelve rows, two of a picture; one lacks the picture, one the sound."""
    from PIL import Image

    rows = []
    for i in range(12):
        (tmp_path / f"{i}.wav").write_bytes(encoded(clip(0.5 + 0.3 * i, seed=i)))
        Image.fromarray(np.full((24, 24, 3), 20 * i, np.uint8)).save(tmp_path / f"{i}.png")
        sound = f"{i}.wav" if i != 3 else None
        row = {"audio": sound, "speech": sound, "image": f"{i}.png" if i else None, "image_id": i // 2}
        rows.append({**row, "text": f"thing {i}", "split": "train" if i < 8 else "test"})
    (tmp_path / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "table.jsonl"


def frozen_clip(folder: Path, dim: int, towers: dict[str, dict[str, Any]]) -> Path:
    """A model folder of the small image and text towers."""
    from anyclip.api.model import Model
    from anyclip.config import config_from_dict
    from anyclip.model import build_model

    named = {
        stream: {"name": f"{stream}/open_clip", "options": towers[stream], "projection": "identity"}
        for stream in ("image", "text")
    }
    data = {"train": [{"name": "manifest", "options": {"path": "x.csv"}}]}
    config = config_from_dict(
        {
            "model": {"dim": dim, "towers": named},
            "objectives": [{"pair": ["image", "text"]}],
            "data": data,
            "train": {"steps": 1},
        }
    )
    return Model(build_model(config.model), config).save(folder)


TERMS = {
    "clap": {"audio-text.infonce.1", "audio-text.infonce.2"},
    "audioclip": {"audio-image", "audio-text", "image-text", "tower_term"},
    "wav2clip": {"audio-image", "heard-image"},
    "speechclip": {"speech-image"},
}
EMERGENT = {"wav2clip": "audio->text", "speechclip": "speech->text"}


@pytest.mark.parametrize("recipe", TERMS)
def test_recipe(recipe, table, tmp_path, monkeypatch):
    monkeypatch.setenv("ANYCLIP_CACHE", str(tmp_path / "cache"))
    path = RECIPES / f"{recipe}.yaml"
    if not path.is_file():
        pytest.skip(f"the recipes are not there: {RECIPES}")
    assert main.run(["check", str(path)]) == 0
    dim, towers = small(recipe)
    overrides = [f"model.towers.{stream}.options={json.dumps(value)}" for stream, value in towers.items()]
    if recipe in EMERGENT:
        folder = frozen_clip(tmp_path / "clip", dim, towers)
        overrides += [f"model.towers.{stream}.init={folder}" for stream in ("image", "text")]
    overrides += [f"data.{part}.0.options.path={table}" for part in ("train", "val")]
    overrides += [f"model.dim={dim}", "data.batch_size=4", "data.workers=0", "train.precision=32-true"]
    overrides += [
        "train.epochs=null",
        "train.steps=2",
        "train.threads=1",
        "train.log_every=1",
        "schedule.warmup_steps=0",
    ]
    out = tmp_path / "run"
    assert main.run(["train", str(path), *overrides, f"train.out={out}", "--quiet"]) == 0
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    terms = [line["terms"] for line in lines if "terms" in line]
    assert len(terms) == 2
    assert TERMS[recipe] <= set(terms[-1])
    assert all(np.isfinite(value) for found in terms for value in found.values())
    measured = next(line["eval"] for line in lines if "eval" in line)
    assert f"retrieval/{EMERGENT.get(recipe, 'audio->text')}/R@1" in measured
