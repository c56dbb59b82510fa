"""Configurations and weights of transformers' audio models, from a hub id, a local folder or an inline config."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from transformers import AutoConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_MAPPING
from transformers.utils import logging

from anyclip.errors import CheckpointError, UserError, did_you_mean


def inline_config(values: dict[str, Any], *, where: str = "model") -> Any:
    """A configuration from `{model_type: ..., ...}`. Raises UserError for an unknown type or setting."""
    values = dict(values)
    kind = values.pop("model_type")
    if kind not in CONFIG_MAPPING:
        raise UserError(
            f"{where}: transformers has no model type {kind!r}.", hint=did_you_mean(kind, list(CONFIG_MAPPING))
        )
    cls = CONFIG_MAPPING[kind]
    _refuse_unknown(cls(), values, where)
    try:
        return cls(**values)
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{where}: {_all_lines(error)}") from error


def change(config: Any, values: dict[str, Any], *, where: str) -> None:
    """Change some settings of a configuration. Raises UserError for an unknown one."""
    _refuse_unknown(config, values, where)
    for name, value in values.items():
        try:
            setattr(config, name, value)
        except (ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{where}.{name}: {_all_lines(error)}") from error


def _refuse_unknown(config: Any, values: dict[str, Any], where: str) -> None:
    """transformers accepts any name."""
    known = {*config.to_dict(), *getattr(config, "attribute_map", {})}
    known -= {"_name_or_path", "architectures", "transformers_version"}
    for name in values:
        if name not in known:
            raise UserError(f"{where}: {config.model_type} has no setting {name!r}.", hint=did_you_mean(name, known))


def read_config(source: str) -> Any:
    """The configuration in a folder or on the hub. Raises UserError when there is none."""
    try:
        return AutoConfig.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"model: {source!r} cannot be read: {first_line(error)}",
            hint="Give a folder with config.json, a hub id that can be reached, or an inline config.",
        ) from error


def build_model(config: Any, source: str | None, *, cls: Any = None) -> Any:
    """The encoder with the weights of `source`, or random ones. cls: its class; default: the base model's.

    Of a model with encoder and decoder, the encoder. Raises UserError, and CheckpointError for missing tensors.
    """
    if cls is None:
        try:
            cls = MODEL_MAPPING[type(config)]
        except KeyError as error:
            raise UserError(f"model: transformers has no encoder for {config.model_type!r}.") from error
    with quiet():
        model: Any = cls._from_config(config) if source is None else _load(cls, config, source)
    return (model.get_encoder() if getattr(config, "is_encoder_decoder", False) else model).float()


def _load(cls: Any, config: Any, source: str) -> Any:
    try:
        model, info = cls.from_pretrained(
            source, config=config, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"model: the weights of {source!r} cannot be loaded: {first_line(error)}") from error
    missing = sorted(name for name in info["missing_keys"] if not name.endswith("masked_spec_embed"))
    missing += [str(name) for name in info["mismatched_keys"]]
    if missing:
        more = f" and {len(missing) - 8} more" if len(missing) > 8 else ""
        raise CheckpointError(f"lacks tensors of the model: {', '.join(missing[:8])}{more}.", where=source)
    return model


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """transformers reports every tensor that it does not need; what is missing is an error of ours."""
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def plain(config: Any) -> dict[str, Any]:
    """The configuration as JSON, without the place it came from."""
    values = {**config.to_diff_dict(), "model_type": config.model_type}
    for name in ("_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype"):
        values.pop(name, None)
    return values


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _all_lines(error: BaseException) -> str:
    return " ".join(str(error).split())
