"""transformers-xclip: the X-CLIP of Microsoft (video recognition) as the transformers library saves it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transformers
from anyclip_image.importers.transformers_pair import CLIP_VOCABULARY
from anyclip_text.importing import tokenizer_asset, tokenizer_beside
from torch import Tensor

from anyclip.checkpoint.importing import Imported, prefixed, read_json, scale_of
from anyclip.errors import CheckpointError
from anyclip_video.hugging import plain

_VIDEO = ("vision_model.", "visual_projection.", "mit.", "prompts_visual_layernorm.", "prompts_visual_projection")
_NO_WEIGHTS = ("position_ids",)


def import_microsoft(
    state: Mapping[str, Tensor],
    *,
    name: str | None = None,
    source: Path | None = None,
    config: dict[str, Any] | None = None,
    tokenizer: str | None = None,
) -> Imported:
    """XCLIPModel: `video/transformers`, `text/transformers`, and the prompts in the similarity of the pair."""
    where = str(source or "transformers-xclip")
    found = read_config(config, source, where, ("xclip",))
    if "logit_scale" not in state:
        raise CheckpointError("holds no logit_scale, so it is no whole X-CLIP.", where=where)
    dim = found.projection_dim
    text_config: Any = plain(found.text_config) | {"model_type": "clip_text_model", "projection_dim": dim}
    for special in ("bos_token_id", "eos_token_id", "pad_token_id"):  # the library's old defaults; the tokenizer knows
        text_config.pop(special, None)
    text: dict[str, Any] = {"model": text_config, "output": "projected"}
    assets = {}
    if place := tokenizer or tokenizer_beside(source):
        assets["text"] = tokenizer_asset(place)
    elif text_config.get("vocab_size", CLIP_VOCABULARY) == CLIP_VOCABULARY:
        text["tokenizer"] = "open_clip"
    else:
        raise CheckpointError("no tokenizer lies beside it.", where=where, hint="Give the option tokenizer, a folder.")
    similarity = {
        "dim": dim,
        "layers": found.prompt_layers,
        "heads": found.prompt_num_attention_heads,
        "alpha": found.prompt_alpha,
    }
    edge = {
        "pair": ["text", "video"],
        "loss": "infonce",
        "similarity": {"name": "xclip_prompts", "options": similarity},
        "scale": {"init": scale_of(state["logit_scale"])},
    }
    video = {"name": "video/transformers", "options": {"model": plain(found), "prompts": True}}
    towers = {
        "video": {**video, "projection": "identity"},
        "text": {"name": "text/transformers", "options": text, "projection": "identity"},
    }
    renamed: dict[str, Tensor] = {}
    for part in _VIDEO:
        renamed |= prefixed(state, part, f"towers.video.model.{part}", drop=_NO_WEIGHTS)
    for part in ("text_model.", "text_projection."):
        renamed |= prefixed(state, part, f"towers.text.model.{part}", drop=_NO_WEIGHTS)
    objectives = prefixed(state, "prompts_generator.", "0.similarity.prompts_generator.")
    used = (*_VIDEO, "text_model.", "text_projection.", "prompts_generator.", "logit_scale")
    renamed |= {key: tensor for key, tensor in state.items() if not key.startswith(used)}
    model = {"model": {"dim": dim, "towers": towers}, "objectives": [edge]}
    return Imported(config=model, state=renamed, assets=assets, objectives=objectives)


def read_config(given: dict[str, Any] | None, source: Path | None, where: str, kinds: tuple[str, ...]) -> Any:
    """The configuration of a transformers checkpoint. Raises CheckpointError for none, or one of another kind."""
    values = dict(given or read_json(source, "config.json"))
    if not values:
        raise CheckpointError("no config.json lies beside it.", where=where, hint="Give the option config.")
    kind = values.pop("model_type", kinds[0])
    if kind not in kinds:
        raise CheckpointError(f"is a model of type {kind!r}, not {' or '.join(kinds)}.", where=where)
    for idle in ("dtype", "torch_dtype", "architectures", "transformers_version", "_name_or_path"):
        values.pop(idle, None)
    return transformers.AutoConfig.for_model(kind, **values)
