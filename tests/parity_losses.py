"""Which registry names and options each objective of the reference is: the adapters of tests/parity.py for losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import parity_distillation
import parity_systems
from parity_entries import ADAPTERS, Adapter, Inputs, Params, edge
from parity_graph import Graph, run

__all__ = ["ADAPTERS", "LEFT_OUT", "function_of", "parity_distillation", "parity_systems"]
LEFT_OUT: dict[str, str] = {}  # objective -> why it is not compared


def function_of(objective: str) -> Callable[[Inputs, Params], dict[str, Any]]:
    """`f(inputs, params)` of an objective file."""
    return lambda x, p: run(ADAPTERS[objective](x, p), p)


def simple(**options: Any) -> Adapter:
    """Plain embeddings a, b and one loss; an option's value may be a function of the settings."""

    def build(x: Inputs, p: Params) -> Graph:
        chosen = {k: v(p) if callable(v) else v for k, v in options.items()}
        chosen = {k: v for k, v in chosen.items() if v is not None}
        streams = {k: x[k] for k in "ab"}
        fields = {name: x["y"] for name in ("labels", "ids") if "y" in x}
        parts = {"a2b": [1.0, 0.0], "b2a": [0.0, 1.0], "mean_of_directions": "mean"}
        components = {k: [edge(**chosen | {"direction_reduction": how})] for k, how in parts.items()}
        return Graph([edge(**chosen)], streams, fields=fields, components=components if _directed(chosen) else {})

    return build


def _directed(chosen: dict[str, Any]) -> bool:
    return chosen.get("loss", "infonce") in ("infonce", "infoloob")


ADAPTERS |= {
    "clip_infonce": simple(bias=lambda p: "bias" if "bias" in p else None),
    "inf_clip_tiled": simple(tile=lambda p: p.get("tile")),
    "wav2clip": simple(similarity="cosine"),
    "align_label_smoothing": simple(label_smoothing=lambda p: p["eps"], direction_reduction="sum"),
    "convirt": simple(
        similarity="cosine",
        scale=lambda p: 1 / p["tau"],
        direction_reduction=lambda p: [p["w_a2b"], 1 - p["w_a2b"]],
    ),
    "imagebind_infonce": simple(direction_reduction="sum"),
    "videoclip": simple(direction_reduction="sum", scale=1.0),
    "unicl_multi_positive": simple(multi_positive=True),
    "dcl_masked": simple(
        positive_weight=lambda p: 0.0 if p["decoupled"] else 1.0,
        mask_same_id=lambda p: p["mask_same_id"],
        margin=lambda p: p["margin"],
    ),
    "hn_nce": simple(hardness=lambda p: p["beta"], positive_weight=lambda p: p["alpha"], direction_reduction="sum"),
    "hcl": simple(
        scale=2.0,
        hardness=lambda p: p["beta"],
        debias=lambda p: p["tau_plus"],
        debias_floor=False,
        direction_reduction=[1.0, 0.0],
    ),
    "infoloob": simple(loss="infoloob", direction_reduction=[1.0, 0.0]),
    "cloob": simple(loss="infoloob", hopfield_scale=lambda p: p["hopfield_scale"]),
    "siglip": simple(loss="siglip", bias="bias", tile=lambda p: p.get("tile")),
    "supcon": simple(
        loss="supcon", scale=1.0, temperature=lambda p: p["tau"], base_temperature=lambda p: p["base_tau"]
    ),
}
