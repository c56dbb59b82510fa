"""The audio reference files, compared by tests/parity_audio*.py, and that a fault of a tower would be noticed."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

from .conftest import SHARED

REFERENCE = SHARED / "reference" / "audio"
TOP = Path(__file__).resolve().parents[3] / "tests"
FILES = sorted(path.stem for path in REFERENCE.glob("*.json"))


def parity(name: str):
    """A module of the repository's tests; skips where it or the reference is not there."""
    if not (TOP / f"{name}.py").is_file() or not REFERENCE.is_dir():
        pytest.skip(f"the reference files or their comparison are not there: {REFERENCE}, {TOP}")
    if str(TOP) not in sys.path:
        sys.path.insert(0, str(TOP))
    return importlib.import_module(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_published_system(name):
    path = REFERENCE / f"{name}.json"
    lines = list(parity("parity_audio").run(path, json.loads(path.read_text())))
    assert any(line.status == "pass" for line in lines)
    assert not [str(line) for line in lines if line.status not in ("pass", "left")]
    assert all(line.reason for line in lines if line.status == "left")


@pytest.mark.slow
def test_a_missing_position_bias_would_be_noticed():
    golden, laion, model_of = (parity(f"parity_audio_{name}") for name in ("golden", "laion", "model"))
    path = REFERENCE / "laion_clap_htsat_tiny_fanin.json"
    data = json.loads(path.read_text())
    with model_of.imported("laion-clap", golden.checkpoint(data, laion.own), tokenizer="bytes") as (model, _):
        inputs, _ = laion.preprocessing(model, data)
        _, right = laion.audio(model, inputs, data)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "relative_position_bias_table" in name:
                    parameter.zero_()
        _, wrong = laion.audio(model, inputs, data)
    assert all(d.share <= 1 for d in right)
    embeddings = [d for d in wrong if d.name.startswith("audio_embedding_normalised")]
    assert embeddings
    assert min(d.share for d in embeddings) > 30, embeddings


def test_other_weights_inputs_and_shapes_are_noticed():
    golden = parity("parity_audio_golden")
    data = json.loads((REFERENCE / "wav2clip.json").read_text())
    data["weights"]["fingerprint"]["sum_abs_of_set_float64"] *= 1.001
    with pytest.raises(ValueError, match="its fingerprint differs"):
        golden.draw(data)
    data["inputs"][0]["spec"]["sines"][0][0] += 0.01
    with pytest.raises(ValueError, match="input A is another one"):
        golden.waves(data)
    want = {"shape": [2, 3], "mean": 0.0, "std": 1.0, "min": -1.0, "max": 1.0}
    assert golden.line("x", golden.statistics("x", torch.zeros(2, 4), want)).status == "FAIL"
    assert golden.line("x", []).status == "FAIL"
    assert golden.line("x", [golden.close("x", [1.0, float("nan")], [1.0, 2.0], atol=1.0)]).status == "FAIL"
    assert golden.line("x", [golden.close("x", [1.0, 2.0], [1.0, 2.0], atol=0.0, rtol=0.0)]).status == "pass"
