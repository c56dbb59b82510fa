"""Configurations of the transformers library: inline, from a folder or the hub, changed, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyclip_image import transformers_tower as shared
from transformers import AutoConfig, PretrainedConfig

from anyclip.errors import UserError, did_you_mean

plain = shared._plain
first_line = shared._first_line
inline_config = shared._for_model
block_names = shared._blocks
preprocess_of = shared._preprocess


def config_of(model: str | dict[str, Any], changes: Mapping[str, Any]) -> PretrainedConfig:
    """The configuration that the option `model` names, with changes. Raises UserError."""
    if isinstance(model, dict):
        config = inline_config(model)
    else:
        try:
            config = AutoConfig.from_pretrained(model)
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"model: {model!r} cannot be read: {first_line(error)}") from error
    for name, value in changes.items():
        if not hasattr(config, name):
            raise UserError(
                f"config: {config.model_type} has no setting {name!r}.", hint=did_you_mean(name, config.to_dict())
            )
        setattr(config, name, value)
    return config
