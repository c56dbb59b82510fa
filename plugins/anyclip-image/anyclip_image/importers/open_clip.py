"""open-clip: any checkpoint of open_clip, with the model's name or config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip
from anyclip_text.importing import tokenizer_asset, tokenizer_beside
from torch import Tensor

from anyclip.checkpoint.importing import Imported, prefixed, read_json
from anyclip.errors import CheckpointError, did_you_mean
from anyclip_image.importers.common import SCALES, two_towers

_NO_WEIGHTS = ("position_ids",)  # buffers that older transformers saved
_SIGLIP = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}


def import_open_clip(
    state: Mapping[str, Tensor],
    *,
    name: str | None = None,
    source: Path | None = None,
    config: dict[str, Any] | None = None,
    quick_gelu: bool | None = None,
    tag: str | None = None,
    tokenizer: str | None = None,
) -> Imported:
    """Towers `image/open_clip` and `text/open_clip` with open_clip's own projections inside.

    The generative half of CoCa is left out: it is no part of the joint space. Raises CheckpointError for an unknown
    name, and where neither a name nor a config tells the architecture.
    """
    where = str(source or "open-clip")
    config = _config(config, name, tag, source, where)
    if quick_gelu is not None:
        config["quick_gelu"] = quick_gelu
    return import_state(state, config, where=where, tokenizer=tokenizer or tokenizer_beside(source))


def _config(
    config: dict[str, Any] | None, name: str | None, tag: str | None, source: Path | None, where: str
) -> dict[str, Any]:
    """The model's config with `preprocess_cfg`."""
    beside = read_json(source, "open_clip_config.json")
    if config:
        found = dict(config)
    elif name:
        found = open_clip.get_model_config(name)
        if found is None:
            hint = did_you_mean(name, open_clip.list_models(), noun="Names")
            raise CheckpointError(f"open_clip has no model {name!r}.", where=where, hint=hint)
    elif beside:
        found = dict(beside["model_cfg"])
    else:
        raise CheckpointError("open_clip's tensors do not tell the model.", where=where, hint="Give --name ViT-B-32.")
    published = dict(open_clip.get_pretrained_cfg(name, tag)) if name and tag else {}
    if tag and not published:
        tags = open_clip.list_pretrained_tags_by_model(name) if name and name in open_clip.list_models() else []
        raise CheckpointError(f"no tag {tag!r} of this model.", where=where, hint=did_you_mean(tag, tags, noun="Tags"))
    found["quick_gelu"] = bool(published.get("quick_gelu", found.get("quick_gelu", False)))
    declared = dict(found.get("preprocess_cfg") or beside.get("preprocess_cfg") or {})
    if not declared and name and "siglip" in name.lower():
        declared = dict(_SIGLIP)
    declared |= {key: published[key] for key in _SIGLIP if key in published}
    return {**found, "preprocess_cfg": declared}


def import_state(
    state: Mapping[str, Tensor], config: dict[str, Any], *, where: str, tokenizer: str | None = None
) -> Imported:
    """The state of open_clip's CLIP, CustomTextCLIP or CoCa (or OpenAI's CLIP) under the names of a JointModel."""
    from anyclip_text.open_clip_build import text_state

    if config.get("multimodal_cfg"):
        state = {key: tensor for key, tensor in state.items() if not key.startswith("text_decoder.")}
    vision = {key: config[key] for key in ("embed_dim", "vision_cfg", "quick_gelu")}
    if config.get("preprocess_cfg"):
        vision["preprocess_cfg"] = config["preprocess_cfg"]
    text = {key: config[key] for key in ("embed_dim", "text_cfg", "quick_gelu")}
    found = two_towers(
        int(config["embed_dim"]),
        {"name": "image/open_clip", "options": {"model": vision, "output": "projected"}},
        {"name": "text/open_clip", "options": {"model": text, "output": "projected"}},
        state,
        where=where,
    )
    own_text = text_state(state)
    renamed = prefixed(state, "visual.", "towers.image.model.", drop=_NO_WEIGHTS)
    renamed |= prefixed(own_text, "", "towers.text.model.", drop=_NO_WEIGHTS)
    used = {*SCALES, *(key for key in state if key.startswith(("visual.", "text."))), *own_text}
    renamed |= {key: tensor for key, tensor in state.items() if key not in used}
    assets = {}
    if tokenizer and (config["text_cfg"].get("hf_tokenizer_name") or config["text_cfg"].get("hf_model_name")):
        asked = config["text_cfg"].get("tokenizer_kwargs") or {}
        settings = {"clean": asked.get("clean", "whitespace"), "drop_sep": bool(asked.get("strip_sep_token"))}
        assets["text"] = tokenizer_asset(tokenizer, **settings)
    return Imported(config=found, state=renamed, assets=assets)
