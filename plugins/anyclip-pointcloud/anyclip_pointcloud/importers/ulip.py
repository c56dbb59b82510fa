"""ulip and ulip-2: the checkpoints of Xue et al., CVPR 2023 (arXiv:2212.05171) and CVPR 2024 (arXiv:2305.08275)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from anyclip.checkpoint.importing import Imported, prefixed, scale_of
from anyclip.errors import CheckpointError
from anyclip_pointcloud.importers.paired_clip import add_clip, edges
from anyclip_pointcloud.importers.point_encoders import count, tower_of

_IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
_TEXT = ("positional_embedding", "transformer.", "token_embedding.", "ln_final.", "text_projection")


def import_ulip(
    state: Mapping[str, Tensor],
    *,
    name: str | None = None,
    source: Path | None = None,
    point: dict[str, Any] | None = None,
    image_heads: int | None = None,
    text_heads: int | None = None,
    text_tokenizer: str | None = None,
) -> Imported:
    """The point tower, and SLIP's image and text towers where the file holds them, all under one joint space.

    Streams `points`, `image` and `text`. The image tower is timm's vision transformer as SLIP trains it.
    """
    where = str(source or "ulip")
    imported = _points(state, point or {}, where)
    towers, found = imported.config["model"]["towers"], imported.state
    if "image_projection" in state:
        towers["image"] = _image(state, image_heads)
        found |= prefixed(state, "visual.", "towers.image.model.")
        found["projections.image.weight"] = state["image_projection"].T.contiguous()
    if "text_projection" in state:
        towers["text"] = _text(state, text_heads, text_tokenizer)
        found |= {f"towers.text.model.{key}": value for key, value in state.items() if key.startswith(_TEXT)}
    imported.config["objectives"] = edges(towers, scale_of(state["logit_scale"]))
    used = ("point_encoder.", "visual.", *_TEXT, "image_projection", "pc_projection", "logit_scale")
    found |= {key: value for key, value in state.items() if not key.startswith(used)}
    return imported


def import_ulip2(
    state: Mapping[str, Tensor],
    *,
    name: str | None = None,
    source: Path | None = None,
    point: dict[str, Any] | None = None,
    clip: str | None = None,
    clip_config: dict[str, Any] | None = None,
) -> Imported:
    """The point tower, and the CLIP inside the file (`open_clip_model.`) or beside it (option `clip`)."""
    where = str(source or "ulip-2")
    imported = _points(state, point or {}, where)
    inside = prefixed(state, "open_clip_model.", "")
    add_clip(imported, inside, clip, clip_config or {}, "ViT-bigG-14", where=where)
    imported.config["objectives"] = edges(imported.config["model"]["towers"], scale_of(state["logit_scale"]))
    used = ("point_encoder.", "open_clip_model.", "pc_projection", "logit_scale")
    imported.state.update({key: value for key, value in state.items() if not key.startswith(used)})
    return imported


def _points(state: Mapping[str, Tensor], given: dict[str, Any], where: str) -> Imported:
    """A model with the stream `points` alone."""
    missing = [key for key in ("pc_projection", "logit_scale") if key not in state]
    if missing:
        raise CheckpointError(f"is not ULIP's layout: it lacks {', '.join(missing)}.", where=where)
    tower = tower_of(prefixed(state, "point_encoder.", ""), given, where=where)
    found = prefixed(state, "point_encoder.", "towers.points.model.")
    found["projections.points.weight"] = state["pc_projection"].T.contiguous()
    return Imported(
        config={"model": {"dim": state["pc_projection"].shape[1], "towers": {"points": tower}}}, state=found
    )


def _image(state: Mapping[str, Tensor], heads: int | None) -> dict[str, Any]:
    """SLIP's vision transformer, and the preprocessing of its evaluation."""
    width, _, patch, _ = state["visual.patch_embed.proj.weight"].shape
    grid = round((state["visual.pos_embed"].shape[1] - 1) ** 0.5)
    depth = count(state, "visual.blocks.")
    args = {"patch_size": patch, "embed_dim": width, "depth": depth, "num_heads": heads or max(1, width // 64)}
    shape = {"model": "vit_base_patch16_224", "args": args, "image_size": grid * patch}
    view = {"eval_crop": "center", "crop_pct": 1.0, "interpolation": "bilinear", **_IMAGENET}
    return {"name": "image/timm", "options": {**shape, **view}, "freeze": True, "freeze_projection": True}


def _text(state: Mapping[str, Tensor], heads: int | None, tokenizer: str | None) -> dict[str, Any]:
    """CLIP's text transformer with its projection inside."""
    rows, width = state["token_embedding.weight"].shape
    text = {
        "context_length": state["positional_embedding"].shape[0],
        "vocab_size": rows,
        "width": width,
        "heads": heads or max(1, width // 64),
        "layers": count(state, "transformer.resblocks."),
    }
    model = {"embed_dim": state["text_projection"].shape[1], "text_cfg": text, "quick_gelu": True}
    options: dict[str, Any] = {"model": model, "output": "projected"}
    if tokenizer:
        options["tokenizer"] = tokenizer
    return {"name": "text/open_clip", "options": options, "projection": "identity", "freeze": True}
