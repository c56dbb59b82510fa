"""Tiny configurations of the towers for speech and of whole models of transformers, and a text tower to speak to."""

from __future__ import annotations

from typing import Any

from anyclip_audio.speech_rows import TINY

HUBERT = TINY["transformers"]["model"]
MELS = {
    "d_model": 32,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "num_mel_bins": 24,
    "max_source_positions": 50,
}
WHISPER = {"model_type": "whisper", **MELS, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 8}
AST = {
    "model_type": "audio-spectrogram-transformer",
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_mel_bins": 32,
    "max_length": 100,
}
TEXT_CFG = {"context_length": 16, "width": 32, "heads": 2, "layers": 2, "vocab_size": 259}
TEXT = {
    "model": {"embed_dim": 24, "text_cfg": TEXT_CFG},
    "tokenizer": "bytes",
    "output": "projected",
}


def of(kind: str, **options: Any) -> tuple[str, dict[str, Any]]:
    """A case of audio/transformers with the waveform model `kind`."""
    layers = {"num_feat_extract_layers": 4} if kind != "hubert" else {}
    return "audio/transformers", {"model": {**HUBERT, "model_type": kind, **layers}, "seconds": 2.0, **options}


SPEECH_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "hubert": of("hubert"),
    "hubert-large": (
        "audio/transformers",
        {"model": {**HUBERT, "feat_extract_norm": "layer", "do_stable_layer_norm": True}, "seconds": 2.0,
         "layer_sum": "normalized", "output": "projected", "dim": 20},
    ),
    "hubert-tiles": of("hubert", seconds=0.6, long="tile", layer_sum="plain"),
    "wav2vec2": of("wav2vec2", layer_sum="plain", mask_time=0.3),
    "wavlm": of("wavlm"),
    "data2vec": of("data2vec-audio", short="repeat"),
    "whisper": ("audio/transformers", {"model": WHISPER, "layer_sum": "plain"}),
    "whisper-in-model": ("audio/transformers", {"model": WHISPER, "features": "model"}),
    "qwen2-audio": (
        "audio/transformers",
        {"model": {"model_type": "qwen2_audio_encoder", **MELS}, "output": "projected", "dim": 20},
    ),
    "ast": ("audio/transformers", {"model": AST}),
    "ast-sum": ("audio/transformers", {"model": AST, "layer_sum": "plain"}),
    "speechclip": ("audio/speechclip", {**TINY["speechclip"], "output": "projected", "dim": 20}),
    "speechclip-cascaded": (
        "audio/speechclip",
        {"encoder": TINY["speechclip"]["encoder"], "head": "cascaded", "keywords": 12,
         "text": {"name": "text/open_clip", "options": TEXT}},
    ),
    "speechclip-shared": ("audio/speechclip", {"encoder": {"ref": "audio/transformers"}, "heads": 2}),
}  # fmt: skip
CODES_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "codes": ("audio/codes", TINY["codes"]),
    "codes-projected": ("audio/codes", {**TINY["codes"], "output": "projected", "length": 12, "pad_id": 3}),
}
