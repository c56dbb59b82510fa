"""transformers-clap: ClapModel as the transformers library saves it, with feature fusion or without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers

from anyclip.checkpoint.importing import Imported, read_json, reading_layout
from anyclip.errors import CheckpointError
from anyclip_audio.htsat_tower import declared_input, settings
from anyclip_audio.importers.common import audio_text, tokenizer_files
from anyclip_audio.names import State, below, put, rest, with_constants
from anyclip_audio.transformers_build import plain

PARTS = {"audio": ("audio_model.", "audio_projection."), "text": ("text_model.", "text_projection.")}
_SCALES = ("logit_scale_a", "logit_scale_t")


def import_transformers_clap(
    state: State,
    *,
    name: str | None = None,
    source: Path | None = None,
    config: dict[str, Any] | None = None,
    tokenizer: str | None = None,
) -> Imported:
    """Both towers with their own projection inside; the library's names stay.

    The input is what preprocessor_config.json says, else what ClapFeatureExtractor does by default.
    """
    where = str(source or "transformers-clap")
    found = _config(config or read_json(source, "config.json"), where)
    for part in (found.text_config, found.audio_config):
        part.projection_dim = found.projection_dim  # ClapModel reads its own; the parts keep a default
        part.projection_hidden_act = found.projection_hidden_act
    towers = {
        "audio": {"name": "audio/htsat", "options": _audio(found.audio_config, source)},
        "text": {"name": "text/transformers", "options": {"model": plain(found.text_config), "output": "projected"}},
    }
    audio, text = ({**tower, "projection": "identity"} for tower in towers.values())
    renamed = rest(state, (*PARTS["audio"], *PARTS["text"], *_SCALES))
    complete = with_constants(state)
    for stream, prefixes in PARTS.items():
        for prefix in prefixes:
            renamed |= put(below(complete, prefix), f"towers.{stream}.model.{prefix}")
    with reading_layout("transformers' ClapModel", where=where):
        scale = state["logit_scale_a"]
    assets = tokenizer_files(tokenizer, source, "roberta-base")
    return audio_text(found.projection_dim, audio, text, scale, renamed, assets=assets)


def _config(values: dict[str, Any], where: str) -> Any:
    if not values:
        raise CheckpointError("no config.json lies beside it.", where=where, hint="Give the option config.")
    kind = values.get("model_type", "clap")
    if kind != "clap":
        raise CheckpointError(f"is a model of type {kind!r}, not 'clap'.", where=where, next="anyclip plugins")
    return transformers.ClapConfig.from_dict({key: value for key, value in values.items() if key != "architectures"})


def _audio(config: Any, source: Path | None) -> dict[str, Any]:
    values = settings(config)
    fusion = bool(values.pop("enable_fusion", False))
    values.pop("fusion_type", None)
    return {"model": values, "output": "projected", "fusion": fusion, **declared_input(_extractor(source))}


def _extractor(source: Path | None) -> dict[str, Any]:
    """What lies beside the weights; newer versions put it into the processor's file."""
    beside = read_json(source, "preprocessor_config.json")
    beside = beside or read_json(source, "processor_config.json").get("feature_extractor", {})
    return {**transformers.ClapFeatureExtractor().to_dict(), **beside}
