"""Configs, construction and weights of open_clip text encoders."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from anyclip.checkpoint.reading import read_state
from anyclip.errors import CheckpointError, UserError, did_you_mean
from anyclip_text.options import OpenClipTextOptions
from anyclip_text.sources import locate

TEXT_KEYS = ("token_embedding.", "positional_embedding", "cls_emb", "transformer.", "ln_final.", "text_projection")


def text_config(options: OpenClipTextOptions) -> dict[str, Any]:
    """`{embed_dim, quick_gelu, output, text_cfg}` of the tower: the model's config changed by the options.

    With `output: pooled` the model is built without its projection, so that no weight of it lies idle.
    Raises UserError for an unknown name, naming the nearest, and for unknown keys of `text_cfg`.
    """
    from open_clip.model import CLIPTextCfg

    source = _source_config(options.model)
    text = copy.deepcopy(dict(source["text_cfg"]))
    known = [f.name for f in fields(CLIPTextCfg)]
    for key in text:
        if key not in known:
            hint = did_you_mean(key, known, noun="Keys")
            raise UserError(f"unknown key {key!r} of text_cfg.", where="option model.text_cfg", hint=hint)
    if options.context_length is not None:
        text["context_length"] = options.context_length
    text["output_tokens"] = True
    if options.output == "pooled":
        text.update({"hf_proj_type": None} if text.get("hf_model_name") else {"proj_type": "none"})
    if str(options.model).startswith("local-dir:") and text.get("hf_tokenizer_name"):
        text["hf_tokenizer_name"] = str(options.model).removeprefix("local-dir:")
    gelu = options.quick_gelu
    if gelu is None:
        gelu = bool(source.get("quick_gelu", False)) or _tag(options.model, options.pretrained).get("quick_gelu", False)
    width = int(source.get("embed_dim", text.get("width", CLIPTextCfg.width)))
    return {"embed_dim": width, "quick_gelu": gelu, "output": options.output, "text_cfg": text}


def _source_config(model: str | dict[str, Any]) -> dict[str, Any]:
    import open_clip

    if isinstance(model, dict):
        return model
    kind, _, place = model.partition(":")
    if kind == "local-dir":
        try:
            return json.loads((Path(place).expanduser() / "open_clip_config.json").read_text())["model_cfg"]
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{place!r} holds no open_clip_config.json: {error}", where="option model") from error
    if kind == "hf-hub":
        from open_clip.factory import _get_hf_config

        try:
            return _get_hf_config(place)["model_cfg"]
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"the hub gives no open_clip model {place!r}: {error}", where="option model") from error
    found = open_clip.get_model_config(model)
    if found is None:
        hint = did_you_mean(model, open_clip.list_models(), noun="Names")
        raise UserError(f"open_clip has no model {model!r}.", where="option model", hint=hint)
    return found


def _tag(model: str | dict[str, Any], tag: str | bool) -> dict[str, Any]:
    """What open_clip knows of a pretrained tag; {} for anything else."""
    from open_clip.pretrained import get_pretrained_cfg

    return get_pretrained_cfg(model, tag) if isinstance(model, str) and isinstance(tag, str) else {}


def build_text(config: Mapping[str, Any]) -> tuple[nn.Module, int]:
    """The encoder with random weights, and the width of what it returns."""
    from open_clip.model import CLIPTextCfg, _build_text_tower

    text = CLIPTextCfg(**config["text_cfg"])
    if not text.hf_model_name:
        model = _build_text_tower(config["embed_dim"], text, config["quick_gelu"])
        return model, config["embed_dim"] if model.text_projection is not None else text.width
    text.hf_model_name = locate(text.hf_model_name, key="model.text_cfg.hf_model_name")
    text.hf_model_pretrained = False
    width = _hidden_size(text.hf_model_name)
    embed_dim = config["embed_dim"] if config["output"] == "projected" else width
    return _build_text_tower(embed_dim, text), embed_dim


def _hidden_size(source: str) -> int:
    from open_clip.hf_configs import arch_dict

    from anyclip_text.transformers_build import read_config

    config = read_config(source)
    if config.model_type not in arch_dict:
        raise UserError(
            f"open_clip wraps no text model of type {config.model_type!r}.",
            hint=did_you_mean(config.model_type, arch_dict, noun="Types") + " text/transformers wraps every type.",
        )
    return getattr(config, arch_dict[config.model_type]["config_names"]["width"])


def text_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The text encoder's tensors of a whole open_clip (or OpenAI CLIP) state dict, under the encoder's own names."""
    custom = {name.removeprefix("text."): tensor for name, tensor in state.items() if name.startswith("text.")}
    return custom or {name: tensor for name, tensor in state.items() if name.startswith(TEXT_KEYS)}


def load_text_weights(model: nn.Module, path: Path) -> None:
    """Fill the encoder from a checkpoint of the whole model. Raises CheckpointError when tensors do not fit."""
    from open_clip.model import resize_text_pos_embed

    state = text_state(read_state(path))
    own = model.state_dict()
    for name in [name for name in state if name.startswith(("text_projection", "proj.")) and name not in own]:
        del state[name]  # `output: pooled` leaves the projection out
    state = {name: tensor for name, tensor in state.items() if name.rsplit(".", 1)[-1] not in ("position_ids",)}
    if "positional_embedding" in own and "positional_embedding" in state:
        resize_text_pos_embed(state, model)
    missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    wrong = sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape)
    if missing or unexpected or wrong:
        shown = ", ".join((missing + unexpected + wrong)[:6])
        raise CheckpointError(
            f"its text tensors do not fit the model: {len(missing)} missing, {len(unexpected)} unexpected, "
            f"{len(wrong)} of another shape ({shown}).",
            where=str(path),
            hint="Name the open_clip config that the checkpoint was trained with.",
        )
    model.load_state_dict(state)


def weights_file(model: str | dict[str, Any], pretrained: str | bool) -> Path:
    """The checkpoint that `pretrained` names; a tag's file is downloaded by open_clip. Raises UserError."""
    import open_clip
    from open_clip.pretrained import download_pretrained, download_pretrained_from_hf, list_pretrained_tags_by_model

    if pretrained is True:
        kind, _, place = str(model).partition(":")
        return Path(place).expanduser() if kind == "local-dir" else Path(download_pretrained_from_hf(place))
    path = Path(str(pretrained)).expanduser()
    if path.exists():
        return path
    cfg = _tag(model, pretrained)
    if cfg:
        return Path(download_pretrained(cfg))
    named = isinstance(model, str) and model in open_clip.list_models()
    tags = list_pretrained_tags_by_model(str(model)) if named else []
    raise UserError(
        f"{pretrained!r} is neither a file nor a pretrained tag of this model.",
        where="option pretrained",
        hint=did_you_mean(str(pretrained), tags, noun="Tags"),
    )
