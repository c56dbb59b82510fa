"""open-clip-clap: audio-text models of open_clip (from version 4.2), with the model's name or config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anyclip.checkpoint.importing import Imported, read_json, reading_layout
from anyclip.errors import CheckpointError, did_you_mean
from anyclip_audio.importers.common import (
    audio_text,
    bert_config,
    fusion_kind,
    htsat_config,
    tokenizer_files,
    whisper_config,
)
from anyclip_audio.names import MLP, State, below, laion_htsat, put, renamed, rest
from anyclip_audio.speech_names import whisper_encoder

_POOLS = {"cls_pooler": "default", "mean_pooler": "mean", "max_pooler": "max", "cls_last_hidden_state_pooler": "cls"}
_INPUT = {"sample_rate": "sample_rate", "window_size": "n_fft", "hop_size": "hop", "fmin": "fmin", "fmax": "fmax"}


def import_open_clip_clap(
    state: State,
    *,
    name: str | None = None,
    source: Path | None = None,
    config: dict[str, Any] | None = None,
    tokenizer: str | None = None,
) -> Imported:
    """HTSAT, with feature fusion or without, or Whisper's encoder, and RoBERTa or BERT, with open_clip's projections.

    Left out: the STFT and mel kernels and the AudioSet classifier. Fused models see a whole long sound shrunk, as
    LAION's do; open_clip takes a random window in its place. Whisper hears through mel bands on the HTK scale, as
    open_clip ships them, and each sound is clamped by its own maximum (`published_batch`: by the batch's).
    """
    where = str(source or "open-clip-clap")
    found = _config(config or {}, name, source, where)
    audio_cfg, text_cfg = found["audio_cfg"], found["text_cfg"]
    _refuse(audio_cfg, text_cfg, where)
    with reading_layout("open_clip's CLAP", where=where):
        sounds = below(state, "audio.encoder.")
        texts = below(state, "text.transformer.")
        texts = {key: tensor for key, tensor in texts.items() if not key.endswith("position_ids")}
        model = bert_config(texts)
        activation = "relu" if audio_cfg.get("proj_act") == "relu" else "gelu"
        unit = bool(audio_cfg.get("pre_norm"))
        audio_layer = {**_mlp(below(state, "audio.proj."), activation), "normalize_inputs": unit}
        text_layer, text_projection = _text_projection(below(state, "text.proj."), text_cfg)
        scale, (tower, audio_state) = state["logit_scale"], _audio(sounds, audio_cfg, where)
    pool = _POOLS[text_cfg.get("hf_pooler_type") or "mean_pooler"]
    text = {"model": model, "pool": pool, "context_length": text_cfg.get("context_length", 77)}
    renamed_state = {
        **put(audio_state, "towers.audio."),
        **put(renamed(below(state, "audio.proj."), MLP), f"projections.audio.{'inner.' if unit else ''}"),
        **put(texts, "towers.text.model."),
        **put(text_projection, "projections.text."),
        **rest(state, ("audio.encoder.", "audio.proj.", "text.transformer.", "text.proj.", "logit_scale")),
    }
    return audio_text(
        int(found["embed_dim"]),
        {**tower, "projection": audio_layer},
        {"name": "text/transformers", "options": text, "projection": text_layer},
        scale,
        renamed_state,
        assets=tokenizer_files(tokenizer, source, text_cfg.get("hf_tokenizer_name") or "roberta-base"),
    )


def _config(config: dict[str, Any], name: str | None, source: Path | None, where: str) -> dict[str, Any]:
    """embed_dim, audio_cfg and text_cfg: given, of open_clip's model of that name, or beside the weights."""
    found = dict(config)
    if not found and name:
        import open_clip

        found = dict(open_clip.get_model_config(name) or {})
        if not found:
            hint = did_you_mean(name, [m for m in open_clip.list_models() if "HTSAT" in m], noun="Names")
            raise CheckpointError(f"this open_clip has no model {name!r}.", where=where, hint=f"{hint} Or give config.")
    found = found or dict(read_json(source, "open_clip_config.json").get("model_cfg", {}))
    lacking = [key for key in ("embed_dim", "audio_cfg", "text_cfg") if key not in found]
    if lacking:
        raise CheckpointError(
            f"open_clip's tensors do not tell the model: {', '.join(lacking)} not given.",
            where=where,
            hint="Give --name with open_clip 4.2, or the option config.",
        )
    return found


def _refuse(audio: dict[str, Any], text: dict[str, Any], where: str) -> None:
    kind = str(audio.get("model_type", "HTSAT"))
    if kind.lower() not in ("htsat", "whisper"):
        raise CheckpointError(f"has an audio tower of type {kind!r}, not HTSAT or whisper.", where=where)
    if audio.get("training_head"):
        raise CheckpointError("projects only in training (training_head), which is not supported.", where=where)
    pooler = text.get("hf_pooler_type") or "mean_pooler"
    if not text.get("hf_model_name") or pooler not in _POOLS:
        raise CheckpointError(f"has a text tower that is not imported ({pooler}).", where=where)


def _audio(sounds: State, audio: dict[str, Any], where: str) -> tuple[dict[str, Any], State]:
    """The audio tower, and its tensors under its own names."""
    if str(audio.get("model_type")).lower() == "whisper":
        model = whisper_config(sounds)
        options = {"model": model, "output": "projected", "dim": sounds["proj.weight"].shape[0], "mel_scale": "htk"}
        return {"name": "audio/transformers", "options": options}, whisper_encoder(sounds)
    options = {"model": htsat_config(sounds)}
    options |= {ours: audio[theirs] for theirs, ours in _INPUT.items() if theirs in audio}
    if "clip_samples" in audio:
        options["seconds"] = audio["clip_samples"] / audio.get("sample_rate", 48_000)
    kind = fusion_kind(sounds, where)
    options |= {"fusion": kind} if kind else {"long": "start"}
    return {"name": "audio/htsat", "options": options}, put(laion_htsat(sounds), "model.audio_encoder.")


def _mlp(layers: State, activation: str) -> dict[str, Any]:
    biased = "2.bias" in layers
    return {"name": "mlp", "hidden": layers["0.weight"].shape[0], "activation": activation, "bias": biased}


def _text_projection(layers: State, text: dict[str, Any]) -> tuple[dict[str, Any], State]:
    """Our projection and its tensors. `mlp` of open_clip has no biases; our hidden layer gets one of zeros."""
    kind = text.get("hf_proj_type", "mlp")
    if kind in ("linear", None):
        return {"name": kind or "identity"}, layers
    found = renamed(layers, MLP)
    if "0.bias" not in layers:
        found["hidden.bias"] = layers["0.weight"].new_zeros(layers["0.weight"].shape[0])
    return _mlp(layers, "relu" if kind == "clap_mlp" else "gelu"), found
