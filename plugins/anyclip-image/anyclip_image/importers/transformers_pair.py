"""transformers-clip and transformers-siglip: two-tower models as the transformers library saves them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from anyclip_text.importing import tokenizer_asset, tokenizer_beside
from torch import Tensor

from anyclip.checkpoint.importing import Imported, folder_of, prefixed, read_json
from anyclip.errors import CheckpointError
from anyclip_image.importers.common import SCALES, two_towers
from anyclip_image.options import TransformersOptions
from anyclip_image.transformers_tower import _plain, _preprocess

_log = logging.getLogger(__name__)
_NO_WEIGHTS = ("position_ids",)  # buffers that older versions saved
CLIP_VOCABULARY = 49408


def import_clip(
    state: Mapping[str, Tensor],
    *,
    name: str | None = None,
    source: Path | None = None,
    config: dict[str, Any] | None = None,
    tokenizer: str | None = None,
) -> Imported:
    """CLIPModel: both towers with their projection inside (`output: projected`)."""
    found = _config(config, source, transformers.CLIPConfig, "clip")
    for part in (found.text_config, found.vision_config):
        part.projection_dim = found.projection_dim  # CLIPModel reads its own; the parts keep a default
    image = {"model": _plain(found.vision_config), "output": "projected", **_pixels(found.vision_config, source)}
    text: dict[str, Any] = {"model": _plain(found.text_config), "output": "projected"}
    renamed = prefixed(state, "vision_model.", "towers.image.model.vision_model.", drop=_NO_WEIGHTS)
    renamed |= prefixed(state, "visual_projection.", "towers.image.model.visual_projection.")
    renamed |= prefixed(state, "text_model.", "towers.text.model.text_model.", drop=_NO_WEIGHTS)
    renamed |= prefixed(state, "text_projection.", "towers.text.model.text_projection.")
    return _imported(found.projection_dim, image, text, renamed, state, source, tokenizer)


def import_siglip(
    state: Mapping[str, Tensor],
    *,
    name: str | None = None,
    source: Path | None = None,
    config: dict[str, Any] | None = None,
    tokenizer: str | None = None,
) -> Imported:
    """SiglipModel: attention pooling in the image tower, head of the last token in the text tower."""
    found = _config(config, source, transformers.SiglipConfig, "siglip")
    image = {"model": _plain(found.vision_config), **_pixels(found.vision_config, source)}
    text: dict[str, Any] = {"model": _plain(found.text_config)}
    into_image = _inner(transformers.SiglipVisionModel, found.vision_config, "vision_model.")
    into_text = _inner(transformers.SiglipTextModel, found.text_config, "text_model.")
    renamed = prefixed(state, "vision_model.", f"towers.image.model.{into_image}", drop=_NO_WEIGHTS)
    renamed |= prefixed(state, "text_model.", f"towers.text.model.{into_text}", drop=_NO_WEIGHTS)
    return _imported(found.vision_config.hidden_size, image, text, renamed, state, source, tokenizer)


def _config(given: dict[str, Any] | None, source: Path | None, cls: Any, kind: str) -> Any:
    values = dict(given or read_json(source, "config.json"))
    where = str(source or f"transformers-{kind}")
    if not values:
        raise CheckpointError("no config.json lies beside it.", where=where, hint="Give the option config.")
    if values.get("model_type", kind) != kind:
        raise CheckpointError(
            f"is a model of type {values['model_type']!r}, not {kind!r}.",
            where=where,
            next="anyclip plugins",
        )
    for idle in ("dtype", "torch_dtype", "architectures", "transformers_version", "_name_or_path"):
        values.pop(idle, None)
    return cls.from_dict(values)


def _inner(cls: Any, config: Any, prefix: str) -> str:
    """The prefix of a one-tower model's tensors; versions of the library differ."""
    with torch.device("meta"):
        names = cls(config).state_dict()
    return prefix if all(name.startswith(prefix) for name in names) else ""


def _pixels(config: Any, source: Path | None) -> dict[str, Any]:
    """Preprocessing options, when a preprocessor_config.json lies beside the weights."""
    folder = folder_of(source)
    if not read_json(source, "preprocessor_config.json"):
        return {}
    found = _preprocess(TransformersOptions(model=str(folder)), config)
    options = {"mean": list(found.mean), "std": list(found.std), "interpolation": found.interpolation}
    if found.size != (config.image_size, config.image_size):
        options["image_size"] = list(found.size)
    return {**options, "eval_crop": found.eval_crop, "crop_pct": found.crop_pct}


def _imported(
    dim: int,
    image: dict[str, Any],
    text: dict[str, Any],
    renamed: dict[str, Tensor],
    state: Mapping[str, Tensor],
    source: Path | None,
    tokenizer: str | None,
) -> Imported:
    assets = {}
    place = tokenizer or tokenizer_beside(source)
    where = str(source or "transformers")
    if place:
        assets["text"] = tokenizer_asset(place)
    elif text["model"].get("vocab_size") == CLIP_VOCABULARY:
        text["tokenizer"] = "open_clip"
    else:
        raise CheckpointError("no tokenizer lies beside it.", where=where, hint="Give the option tokenizer, a folder.")
    config = two_towers(
        dim,
        {"name": "image/transformers", "options": image},
        {"name": "text/transformers", "options": text},
        state,
        where=where,
    )
    used = ("vision_model.", "text_model.", "visual_projection.", "text_projection.")
    renamed |= {key: tensor for key, tensor in state.items() if not key.startswith(used) and key not in SCALES}
    return Imported(config=config, state=renamed, assets=assets)
