"""Values and gradients of the losses against recorded runs of the published code."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from anyclip.losses import create_loss
from anyclip.testing.reference import cases, differences

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("ANYCLIP_REFERENCE", ROOT.parent / "shared" / "reference")) / "losses"


def clip(x, p):
    return create_loss("infonce")(x["a"], x["b"], scale=p["scale"], bias=p.get("bias"))


def siglip(x, p):
    return create_loss("siglip")(x["a"], x["b"], scale=p["scale"], bias=p["bias"])


def align(x, p):
    loss = create_loss("infonce", label_smoothing=p["eps"], direction_reduction="sum")
    return loss(x["a"], x["b"], scale=p["scale"])


def convirt(x, p):
    weights = [p["w_a2b"], 1 - p["w_a2b"]]
    loss = create_loss("infonce", direction_reduction=weights, normalize_inputs=True)
    return loss(x["a"], x["b"], scale=1 / p["tau"])


def imagebind(x, p):
    return create_loss("infonce", direction_reduction="sum")(x["a"], x["b"], scale=p.get("scale") or 1 / p["tau"])


def wav2clip(x, p):
    return create_loss("infonce", normalize_inputs=True)(x["a"], x["b"], scale=p["scale"])


def videoclip(x, p):
    return create_loss("infonce", direction_reduction="sum")(x["a"], x["b"], scale=1.0)


OBJECTIVES = {
    "clip_infonce": clip,
    "inf_clip_tiled": clip,
    "siglip": siglip,
    "align_label_smoothing": align,
    "convirt": convirt,
    "imagebind_infonce": imagebind,
    "wav2clip": wav2clip,
    "videoclip": videoclip,
}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_published_values(objective: str):
    if not (FOLDER / f"{objective}.json").exists():
        pytest.skip(f"no reference values: {objective}.json is not there (set ANYCLIP_REFERENCE to their folder)")
    worst = {}
    for case in cases(FOLDER, objective):
        for name, share in differences(case, OBJECTIVES[objective]).items():
            worst[f"{case.data['id']} {name}"] = share
    assert worst
    assert max(worst.values()) < 1, worst
    print(f"{objective}: {max(worst.values()):.1e} of the tolerance, {len(worst)} numbers")
