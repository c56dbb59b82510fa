"""What the importers share: configs of audio-text models, encoders read off the shapes of tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from anyclip_text.importing import tokenizer_asset, tokenizer_beside
from torch import Tensor

from anyclip.checkpoint.importing import Imported, scale_of
from anyclip.errors import CheckpointError
from anyclip_audio.names import State

_HEAD = 64  # width of every attention head of RoBERTa, BERT and GPT-2 in every published size
_PANN_CHANNELS = {6: "cnn14", 4: "cnn10"}


def audio_text(
    dim: int,
    audio: dict[str, Any],
    text: dict[str, Any],
    log_scale: Tensor,
    state: State,
    *,
    assets: dict[str, Callable[[Path], None]],
) -> Imported:
    """An audio-text model with InfoNCE; log_scale: the stored logarithm of what multiplies similarities."""
    config = {
        "model": {"dim": dim, "towers": {"audio": audio, "text": text}},
        "objectives": [{"pair": ["audio", "text"], "loss": "infonce", "scale": {"init": scale_of(log_scale)}}],
    }
    return Imported(config=config, state=dict(state), assets=assets)


def tokenizer_files(asked: str | None, source: Path | None, published: str) -> dict[str, Callable[[Path], None]]:
    """Assets of the text stream: the tokenizer asked for, else one beside the weights, else the published one."""
    return {"text": tokenizer_asset(asked or tokenizer_beside(source) or published)}


def bert_config(state: State) -> dict[str, Any]:
    """Inline config of a RoBERTa (one token type) or BERT (two) encoder; names as in transformers' base models."""
    vocabulary, width = state["embeddings.word_embeddings.weight"].shape
    config: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": count(state, "encoder.layer.", 2),
        "num_attention_heads": width // _HEAD,
        "intermediate_size": state["encoder.layer.0.intermediate.dense.weight"].shape[0],
        "max_position_embeddings": state["embeddings.position_embeddings.weight"].shape[0],
        "type_vocab_size": state["embeddings.token_type_embeddings.weight"].shape[0],
    }
    if config["type_vocab_size"] > 1:
        return {"model_type": "bert", **config, "pad_token_id": 0, "layer_norm_eps": 1e-12}
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    return {"model_type": "roberta", **config, **ids, "layer_norm_eps": 1e-5}


def gpt2_config(state: State) -> dict[str, Any]:
    """Inline config of a GPT-2; names as in transformers' GPT2Model."""
    vocabulary, width = state["wte.weight"].shape
    return {
        "model_type": "gpt2",
        "vocab_size": vocabulary,
        "n_embd": width,
        "n_layer": count(state, "h.", 1),
        "n_head": width // _HEAD,
        "n_positions": state["wpe.weight"].shape[0],
    }


def htsat_config(state: State) -> dict[str, Any]:
    """Settings of ClapAudioConfig; names as in LAION-CLAP, without `audio_branch.`."""
    width = state["patch_embed.proj.weight"].shape[0]
    depths = [count(state, f"layers.{i}.blocks.", 3) for i in range(count(state, "layers.", 1))]
    tables = [state[f"layers.{i}.blocks.0.attn.relative_position_bias_table"].shape for i in range(len(depths))]
    return {
        "patch_embeds_hidden_size": width,
        "hidden_size": width * 2 ** (len(depths) - 1),
        "depths": depths,
        "num_attention_heads": [heads for _, heads in tables],
        "window_size": (round(tables[0][0] ** 0.5) + 1) // 2,
    }


def fusion_kind(state: State, where: str) -> str | bool:
    """How an HTSAT mixes long sounds: `aff`, `iaff`, `daf`, or False; names as in LAION-CLAP.

    Raises CheckpointError for its other kinds.
    """
    if any(name.startswith(("mel_conv1d.", "fusion_model.")) for name in state):
        raise CheckpointError(
            "mixes spectrograms, not patches (a fusion type that ends in 1d): unsupported.", where=where
        )
    if state["patch_embed.proj.weight"].shape[1] > 1:
        raise CheckpointError("has the fusion type channel_map, which is not supported.", where=where)
    if "patch_embed.mel_conv2d.weight" not in state:
        return False
    parts = {name.split(".")[2] for name in state if name.startswith("patch_embed.fusion_model.")}
    return "iaff" if "local_att2" in parts else "aff" if parts else "daf"


def pann_options(state: State) -> dict[str, Any]:
    """Options of `audio/pann`; names as published."""
    channels = [state[f"conv_block{i}.conv1.weight"].shape[0] for i in range(1, count(state, "conv_block", 0) + 1)]
    size = "cnn6" if state["conv_block1.conv1.weight"].shape[-1] == 5 else _PANN_CHANNELS[len(channels)]
    return {"size": size, "channels": channels, "n_mels": state["bn0.weight"].shape[0]}


def whisper_config(state: State) -> dict[str, Any]:
    """Inline config of Whisper's encoder as open_clip builds it: it pools pairs of positions before the last norm."""
    width, bands, _ = state["conv1.weight"].shape
    return {
        "model_type": "qwen2_audio_encoder",
        "d_model": width,
        "encoder_layers": count(state, "blocks.", 1),
        "encoder_attention_heads": width // _HEAD,
        "encoder_ffn_dim": state["blocks.0.mlp.0.weight"].shape[0],
        "num_mel_bins": bands,
        "max_source_positions": state["positional_embedding"].shape[0],
    }


def count(state: State, prefix: str, position: int) -> int:
    """Number of different parts at that position of the dotted names under a prefix."""
    return len({name.split(".")[position] for name in state if name.startswith(prefix)})
