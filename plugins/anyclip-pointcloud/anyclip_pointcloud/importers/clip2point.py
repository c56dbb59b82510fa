"""clip2point: checkpoints of CLIP2Point (Huang et al. 2023, arXiv 2210.01055)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from anyclip.checkpoint.importing import Imported, prefixed
from anyclip.checkpoint.reading import read_state
from anyclip.errors import CheckpointError
from anyclip_pointcloud.importers.pointclip import with_points
from anyclip_pointcloud.importers.view_adapters import SIMPLIFIED, renamed

_CAMERAS = "selector.view_selector.views_"  # tables of the fixed cameras, no weights
_LEARNED = ("selector.feature_extractor.", "selector.view_selector.view_transformer.")


def import_clip2point(
    state: Mapping[str, Tensor],
    *,
    name: str | None = None,
    source: Path | None = None,
    clip: str | None = None,
    point: dict[str, Any] | None = None,
) -> Imported:
    """Streams `points`, `image` (CLIP as it was) and, with the option `clip`, `text`.

    From the pre-training come the depth encoder and the image encoder, from the dual-path adapter both and their
    adapters; the learned weight of the pre-training's loss is left out. Learned cameras are refused.
    """
    where, given = str(source or "clip2point"), dict(point or {})
    depth, image, dual = (
        ("pre_model.", "ori_model.", True) if "pre_model.proj" in state else ("point_model.", "", False)
    )
    image = image or "image_model."
    if f"{depth}proj" not in state or f"{image}proj" not in state:
        raise CheckpointError("is not CLIP2Point's layout: it has no point_model or pre_model.", where=where)
    if any(key.startswith(_LEARNED) for key in state):
        raise CheckpointError("its cameras are learned by a network that there is no tower for.", where=where)
    options: dict[str, Any] = {"turn": True, "tower_up": "z"}
    if dual:
        views = len(state["adapter1.fusion_ratio"]) if "adapter1.fusion_ratio" in state else 0
        options |= {"views": views, "adapter": True, "original": {"ref": "image"}}
    imported = _model(state, depth, image, {**options, **given}, clip, where)
    found = imported.state
    for path, old in (("image", "adapter1."), ("original", "adapter2.")):
        found |= renamed(prefixed(state, old, ""), SIMPLIFIED, f"towers.points.adapters.{path}.")
    used = (depth, image, "adapter1.", "adapter2.", _CAMERAS)
    found |= {key: tensor for key, tensor in state.items() if not key.startswith(used) and key != "weights"}
    return imported


def _model(
    state: Mapping[str, Tensor], depth: str, image: str, options: dict[str, Any], clip: str | None, where: str
) -> Imported:
    """The config and the image-like towers' tensors."""
    from anyclip_image.importers.openai_clip import vision_architecture

    vision = vision_architecture(prefixed(state, image, "visual."))
    encoder = {"name": "image/open_clip", "options": {"model": vision, "output": "projected"}}
    tower = {"name": "pointcloud/clip2point", "options": {"image": encoder, **options}}
    seen = {
        **prefixed(state, image, "towers.image.model."),
        **prefixed(state, depth, "towers.points.image.model."),
    }
    if clip is not None:
        path = Path(clip).expanduser()
        imported = with_points(read_state(path), tower, source=path, where=clip)
        if imported.config["model"]["dim"] != vision["embed_dim"]:
            raise CheckpointError(f"its encoders are {vision['embed_dim']} wide, that CLIP is not.", where=where)
        imported.state.update(seen)
        return imported
    towers = {
        "image": {**encoder, "projection": "identity", "freeze": True},
        "points": {**tower, "projection": "identity"},
    }
    edge = {"pair": ["points", "image"], "loss": "infonce"}
    config = {"model": {"dim": vision["embed_dim"], "towers": towers}, "objectives": [edge]}
    return Imported(config=config, state=seen)
