"""What the importers share: the config of an image-text model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from anyclip.checkpoint.importing import scale_of
from anyclip.errors import CheckpointError

SCALES = ("logit_scale", "logit_bias")


def two_towers(
    dim: int, image: dict[str, Any], text: dict[str, Any], state: Mapping[str, Tensor], *, where: str
) -> dict[str, Any]:
    """Config of a model with identity projections. A `logit_bias` makes the pair a sigmoid one."""
    if "logit_scale" not in state:
        raise CheckpointError("holds no logit_scale, so it is no image-text model.", where=where)
    edge: dict[str, Any] = {
        "pair": ["image", "text"],
        "loss": "siglip" if "logit_bias" in state else "infonce",
        "scale": {"init": scale_of(state["logit_scale"])},
    }
    if "logit_bias" in state:
        edge["bias"] = {"init": state["logit_bias"].double().reshape(()).item()}
    towers = {"image": {**image, "projection": "identity"}, "text": {**text, "projection": "identity"}}
    return {"model": {"dim": dim, "towers": towers}, "objectives": [edge]}
