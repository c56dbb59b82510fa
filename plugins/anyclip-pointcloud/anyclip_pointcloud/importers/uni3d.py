"""uni3d: the checkpoints of Zhou et al., ICLR 2024 (arXiv:2310.06773)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from anyclip.checkpoint.importing import Imported, prefixed, scale_of
from anyclip.errors import CheckpointError
from anyclip_pointcloud.importers.paired_clip import add_clip, edges
from anyclip_pointcloud.uni3d_tower import UNUSED

_WIDTHS = {192: "tiny", 384: "small", 768: "base", 1024: "large", 1408: "giant"}


def import_uni3d(
    state: Mapping[str, Tensor],
    *,
    name: str | None = None,
    source: Path | None = None,
    point: dict[str, Any] | None = None,
    clip: str | None = None,
    clip_config: dict[str, Any] | None = None,
) -> Imported:
    """The point tower with its own projection inside, and the CLIP that the option `clip` names.

    Left out are the parts of the image transformer that no point goes through: its patch embedding, positions, class
    token and classifier.
    """
    where = str(source or "uni3d")
    given = dict(point or {})
    encoder = prefixed(state, "point_encoder.", "")
    missing = [key for key in ("cls_token", "trans2embed.weight", "encoder.second_conv.3.weight") if key not in encoder]
    if missing or "logit_scale" not in state:
        lacks = ", ".join([f"point_encoder.{key}" for key in missing] or ["logit_scale"])
        raise CheckpointError(f"is not Uni3D's layout: it lacks {lacks}.", where=where)
    idle = tuple(f"visual.{part}" for part in UNUSED)
    found = {f"towers.points.model.{key}": value for key, value in encoder.items() if not key.startswith(idle)}
    options = {
        "colors": encoder["encoder.first_conv.0.weight"].shape[1] >= 6,
        "encoder_dim": encoder["encoder.second_conv.3.weight"].shape[0],
        "dim": encoder["trans2embed.weight"].shape[0],
        "output": "projected",
        "sample": "stride",  # farthest sampling of 10,000 points gains nothing
        **({} if "model" in given else {"size": _size(encoder, where)}),
        **given,
    }
    tower = {"name": "pointcloud/uni3d", "options": options, "projection": "identity"}
    imported = Imported(config={"model": {"dim": options["dim"], "towers": {"points": tower}}}, state=found)
    add_clip(imported, {}, clip, clip_config or {}, "EVA02-E-14-plus", where=where)
    imported.config["objectives"] = edges(imported.config["model"]["towers"], scale_of(state["logit_scale"]))
    rest = {key: value for key, value in state.items() if not key.startswith("point_encoder.") and key != "logit_scale"}
    found |= rest
    return imported


def _size(encoder: Mapping[str, Tensor], where: str) -> str:
    width = encoder["cls_token"].shape[-1]
    if width not in _WIDTHS:
        raise CheckpointError(
            f"no published Uni3D is {width} wide.",
            where=where,
            hint="Give the transformer: `point: {model: TIMM_NAME, args: {...}}`.",
        )
    return _WIDTHS[width]
