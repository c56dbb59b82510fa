"""What the plugin registers of speech and of whole models of transformers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from anyclip.specs import TowerSpec

# Convolutions in bfloat16 over fewer than 32 channels are wrong on some CPUs (torch 2.14).
_HUBERT: dict[str, Any] = {
    "model_type": "hubert",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": [32, 32, 32, 32],
    "conv_kernel": [10, 8, 4, 4],
    "conv_stride": [5, 4, 4, 4],
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 1,
}
_ENCODER = {"model": _HUBERT, "seconds": 2.0}
_CLVP = {"vocab_size": 64, "hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 2, "projection_dim": 24}
TINY: dict[str, dict[str, Any]] = {
    "transformers": _ENCODER,
    "speechclip": {
        "encoder": {"name": "audio/transformers", "options": {**_ENCODER, "layer_sum": "plain"}},
        "heads": 4,
    },
    "codes": {"model": {**_CLVP, "num_hidden_layers": 2, "bos_token_id": 1, "eos_token_id": 2}},
}


def speech_towers() -> Iterator[TowerSpec]:
    """The rows of `anyclip_towers`."""
    for name, cls, options, summary in (
        ("transformers", "TransformersAudio", "TransformersAudio", "HuBERT, wav2vec 2.0, WavLM, Whisper, AST ..."),
        ("speechclip", "Speechclip", "Speechclip", "SpeechCLIP's parallel and cascaded head on a speech encoder"),
        ("codes", "Codes", "Codes", "CLVP's speech tower over discrete codes"),
    ):
        yield TowerSpec(
            name=f"audio/{name}",
            target=f"anyclip_audio.{name}_tower:{cls}Tower",
            options=f"anyclip_audio.speech_options:{options}Options",
            summary=summary,
            tiny=TINY[name],
            values="anyclip_audio.codes_examples:sequences" if name == "codes" else None,
        )
