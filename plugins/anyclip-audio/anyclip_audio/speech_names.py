"""Tensor names of published speech models -> those of our towers; values are kept bit for bit."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_WHISPER = (
    (r"^positional_embedding$", "embed_positions.weight"),
    (r"^blocks\.", "layers."),
    (r"\.attn\.(query|key|value)\.", r".self_attn.\1."),
    (r"\.attn\.out\.", ".self_attn.out_proj."),
    (r"\.attn_ln\.", ".self_attn_layer_norm."),
    (r"\.mlp\.0\.", ".fc1."),
    (r"\.mlp\.2\.", ".fc2."),
    (r"\.mlp_ln\.", ".final_layer_norm."),
    (r"^ln_post\.", "layer_norm."),
)
_ATTENTION = {"query": "q_proj", "key": "k_proj", "value": "v_proj"}
_SPEECHCLIP = {"hubert.": "encoder.model.", "weightedsum_layer.weights": "encoder.layer_weights"}


def whisper_encoder(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """OpenAI's names of Whisper's encoder (without `encoder.`, also open_clip's) -> those of `audio/transformers`.

    `proj.` becomes the tower's own projection (`output: projected`).
    """
    found = {}
    for name, value in state.items():
        if name == "audio_bos_eos_token.weight":
            continue  # open_clip carries it from its origin; no embedding uses it
        new = name
        for pattern, ours in _WHISPER:
            new = re.sub(pattern, ours, new)
        new = re.sub(r"\.self_attn\.(query|key|value)\.", lambda m: f".self_attn.{_ATTENTION[m[1]]}.", new)
        found[f"projection.{new[5:]}" if new.startswith("proj.") else f"model.{new}"] = value
    return found


def speechclip(state: Mapping[str, Tensor], head: str) -> dict[str, Tensor]:
    """SpeechCLIP's names, with HuBERT's as transformers has them -> those of `audio/speechclip`.

    head: `parallel` or `cascaded`; the other branch and CLIP are left out.
    """
    found = {}
    names = {**_SPEECHCLIP, f"{head}_branch.": "head."}
    for name, value in state.items():
        start = next((prefix for prefix in names if name.startswith(prefix)), None)
        inside = name.removeprefix(f"{head}_branch.")
        if start is not None and not inside.startswith(("clip.", "vector_quantizer.")):
            found[names[start] + name[len(start) :]] = value
    return found
