"""Configs, classes and weights of transformers text models."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from anyclip.errors import CheckpointError, UserError, did_you_mean
from anyclip_text.sources import is_local, locate
from anyclip_text.tokenizers import TextTokenizer


def read_config(source: str) -> Any:
    """The configuration in a folder or on the hub. Raises UserError when there is none."""
    from transformers import AutoConfig

    try:
        file = Path(source) / "config.json"
        cls = config_class(json.loads(file.read_text()).get("model_type", "")) if file.is_file() else None
        if cls is not None:
            return cls.from_pretrained(source)
        return AutoConfig.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        lines = str(error).strip().splitlines()
        raise UserError(
            f"no model configuration in {source!r}: {lines[0] if lines else type(error).__name__}",
            where="option model",
            hint="Give a folder with config.json, a hub id that can be reached, or package:NAME/FOLDER.",
        ) from error


def config_class(kind: str) -> Any:
    """The configuration class of a model type, or None. Some versions list `siglip` but not `siglip_text_model`."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if kind in CONFIG_MAPPING:
        return CONFIG_MAPPING[kind]
    both = kind.removesuffix("_text_model")
    found = CONFIG_MAPPING[both].sub_configs.get("text_config") if both in CONFIG_MAPPING else None
    return found if found is not None and found.model_type == kind else None


def inline_config(values: dict[str, Any], tokenizer: TextTokenizer) -> Any:
    """A configuration from `{model_type: ..., ...}`; vocabulary and special ids not given are the tokenizer's.

    Raises UserError for an unknown type or key, naming the nearest, and for a vocabulary smaller than the tokenizer's.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    values = dict(values)
    kind = values.pop("model_type")
    cls = config_class(kind)
    if cls is None:
        hint = did_you_mean(kind, list(CONFIG_MAPPING), noun="Types")
        raise UserError(f"transformers has no model type {kind!r}.", where="option model.model_type", hint=hint)
    check_keys(cls(), values, where="option model")
    ids = {"vocab_size": tokenizer.vocab_size, "pad_token_id": tokenizer.pad_id}
    ids |= {"bos_token_id": tokenizer.bos_id, "eos_token_id": tokenizer.eos_id}
    config = cls(**{**ids, **values})
    if config.vocab_size < tokenizer.vocab_size:
        raise UserError(
            f"vocab_size {config.vocab_size} is smaller than the tokenizer's {tokenizer.vocab_size} ids.",
            where="option model.vocab_size",
            hint="Leave vocab_size out, or choose another tokenizer.",
        )
    return config


def check_keys(config: Any, values: dict[str, Any], *, where: str) -> None:
    """transformers accepts any key; here an unknown one is an error."""
    known = {*config.to_dict(), *getattr(config, "attribute_map", {})}
    for key in values:
        if key not in known:
            raise UserError(f"unknown key {key!r}.", where=where, hint=did_you_mean(key, known, noun="Keys"))


def text_part(config: Any) -> Any:
    """The text side of a two-tower configuration, or the configuration itself."""
    part = getattr(config, "text_config", None)
    return config if part is None or isinstance(part, dict) else part


def model_class(config: Any, *, projected: bool) -> Any:
    """The class that holds only the text encoder of this configuration.

    `XTextModel` where transformers has one (CLIP, SigLIP, CLAP ...), `XEncoderModel` (T5), else the base model.
    """
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    stem = type(config).__name__.removesuffix("Config").removesuffix("Text")
    if projected:
        found = getattr(transformers, f"{stem}TextModelWithProjection", None)
        if found is not None:
            return found
        if not hasattr(config, "projection_size"):  # SigLIP projects inside its text model
            raise UserError(f"{type(config).__name__} has no projection.", hint="Choose output: pooled.")
    for name in (f"{stem}TextModel", f"{stem}EncoderModel"):
        if hasattr(transformers, name):
            return getattr(transformers, name)
    try:
        found = MODEL_MAPPING[type(config)]
    except KeyError:
        raise UserError(f"transformers has no base model for {type(config).__name__}.", where="option model") from None
    return found[0] if isinstance(found, (list, tuple)) else found


def default_pool(config: Any) -> str:
    """`default` where the model has a pooler of its own, `last` for causal language models, else `mean`."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

    known = type(config)
    causal = known in MODEL_FOR_CAUSAL_LM_MAPPING and known not in MODEL_FOR_MASKED_LM_MAPPING
    cls = model_class(config, projected=False)
    if _takes_pooler(cls) or (cls.__name__.endswith("TextModel") and not causal):
        return "default"
    return "last" if causal and not getattr(config, "is_encoder_decoder", False) else "mean"


def _takes_pooler(cls: Any) -> bool:
    return "add_pooling_layer" in inspect.signature(cls.__init__).parameters


def build_text(config: Any, *, source: str | None, projected: bool, pooler: bool) -> nn.Module:
    """The text encoder: weights of `source`, or random ones when it is None.

    config: of the text part. pooler: False leaves the model's pooling layer out, so that no weight lies idle.
    """
    cls: Any = model_class(config, projected=projected)
    extra = {"add_pooling_layer": False} if _takes_pooler(cls) and not pooler else {}
    if hasattr(config, "use_cache"):
        config.use_cache = False
    with quiet():
        if source is None:
            model: Any = cls._from_config(config, dtype=torch.float32, **extra)
        else:
            model = _pretrained(cls, config, source, extra)
    if getattr(config, "is_encoder_decoder", False) and not cls.__name__.endswith("EncoderModel"):
        model = model.get_encoder()
    if not pooler and pooling_head(model) is not None:
        getattr(model, "text_model", model).head = nn.Identity()  # only the model's own pooling uses it
    return model.float()


def pooling_head(model: nn.Module) -> nn.Linear | None:
    """The layer through which SigLIP puts its pooled token, or None. Versions of the library nest it differently."""
    head = getattr(getattr(model, "text_model", model), "head", None)
    return head if isinstance(head, nn.Linear) else None


def _pretrained(cls: Any, config: Any, source: str, extra: dict[str, Any]) -> nn.Module:
    try:
        model, info = cls.from_pretrained(
            source, config=config, dtype=torch.float32, output_loading_info=True, trust_remote_code=False, **extra
        )
    except (OSError, ValueError, RuntimeError) as error:
        lines = str(error).strip().splitlines()
        raise CheckpointError(f"the weights do not load: {lines[0] if lines else error}", where=source) from error
    missing = sorted(name for name in info["missing_keys"] if not name.endswith("position_ids"))
    if missing:
        pools = all("pooler" in name for name in missing)
        raise CheckpointError(
            f"{len(missing)} tensors are missing: {', '.join(missing[:6])}.",
            where=source,
            hint="The checkpoint has no pooler; choose pool: mean or pool: cls." if pools else None,
        )
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """transformers reports every tensor it does not need; what is missing we report ourselves."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def folder_pool(source: str) -> str | None:
    """The pooling that a sentence-transformers folder states, or None."""
    file = Path(source) / "1_Pooling" / "config.json"
    if not is_local(source) or not file.is_file():
        return None
    stated = json.loads(file.read_text())
    names = {
        "pooling_mode_cls_token": "cls",
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_max_tokens": "max",
        "pooling_mode_lasttoken": "last",
    }
    chosen = [pool for key, pool in names.items() if stated.get(key)]
    if len(chosen) != 1:
        raise UserError(
            f"the pooling in {file} is not supported: {stated}.", hint="Choose pool: mean, cls, max or last."
        )
    return chosen[0]


def folder_length(source: str) -> int | None:
    """The longest text that a sentence-transformers folder states, or None."""
    file = Path(source) / "sentence_bert_config.json"
    if not is_local(source) or not file.is_file():
        return None
    return json.loads(file.read_text()).get("max_seq_length")


def usable_positions(model: nn.Module, config: Any) -> int | None:
    """Tokens that the position table can number, or None without a table (RoBERTa starts to count at padding + 1)."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and name.endswith("position_embeddings"):
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    return getattr(config, "max_position_embeddings", None)


def resolve_source(model: str) -> str:
    return locate(model, key="model")
