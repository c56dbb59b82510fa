"""laion-clap: checkpoints of LAION-CLAP, whose architecture is read off the tensors' shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anyclip.checkpoint.importing import Imported, reading_layout
from anyclip.errors import CheckpointError
from anyclip_audio.importers.common import (
    audio_text,
    bert_config,
    fusion_kind,
    htsat_config,
    pann_options,
    tokenizer_files,
)
from anyclip_audio.names import MLP, State, below, laion_htsat, pann, put, renamed, rest

KNOWN = ("audio_branch.", "audio_projection.", "text_branch.", "text_projection.", "logit_scale_a", "logit_scale_t")
HEADS = ("audio_transform.", "text_transform.")  # layers of the training loss only, never of an embedding
TEXT_LENGTH = 77  # tokens; the published program cuts there
_PUBLISHED = {"roberta": "roberta-base", "bert": "bert-base-uncased"}


def import_laion_clap(
    state: State,
    *,
    name: str | None = None,
    source: Path | None = None,
    tokenizer: str | None = None,
    antialias: bool = True,
) -> Imported:
    """HTSAT (with fusion or without) or PANN, and RoBERTa or BERT, each with LAION's projection of two layers.

    The names are those of laion_clap/clap_module/model.py. Left out: the STFT and mel kernels (the processor computes
    the spectrogram), the AudioSet classifier and the heads of the training loss.
    """
    where = str(source or "laion-clap")
    with reading_layout("LAION-CLAP", where=where):
        sounds, texts = below(state, "audio_branch."), below(state, "text_branch.")
        texts = {key: tensor for key, tensor in texts.items() if not key.endswith("position_ids")}
        audio, audio_state = _audio(sounds, antialias, where)
        model = bert_config(texts)
        dim, hidden = state["audio_projection.2.weight"].shape
        scale = state["logit_scale_a"]
    layer = {"name": "mlp", "hidden": hidden, "activation": "relu", "bias": True}
    text = {"name": "text/transformers", "options": {"model": model, "context_length": TEXT_LENGTH}}
    found = put(audio_state, "towers.audio.model.") | put(texts, "towers.text.model.")
    for stream in ("audio", "text"):
        found |= put(renamed(below(state, f"{stream}_projection."), MLP), f"projections.{stream}.")
    found |= rest(state, KNOWN + HEADS)
    assets = tokenizer_files(tokenizer, source, _PUBLISHED[model["model_type"]])
    audio, text = ({**tower, "projection": layer} for tower in (audio, text))
    return audio_text(dim, audio, text, scale, found, assets=assets)


def _audio(sounds: State, antialias: bool, where: str) -> tuple[dict[str, Any], State]:
    """The audio tower and its tensors."""
    if "conv_block1.conv1.weight" in sounds:
        if any(".fusion_model." in f".{key}" for key in sounds):
            raise CheckpointError("is a fused PANN; of fused models only HTSAT is supported.", where=where)
        return {"name": "audio/pann", "options": {**pann_options(sounds), "quantise": True}}, pann(sounds)
    options: dict[str, Any] = {"model": htsat_config(sounds), "quantise": True}
    if kind := fusion_kind(sounds, where):
        options |= {"fusion": kind, "antialias": antialias}
    return {"name": "audio/htsat", "options": options}, put(laion_htsat(sounds), "audio_encoder.")
