"""Tensor names of published checkpoints -> those of our towers; values are kept bit for bit."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

_HTSAT = {
    "bn0.": "batch_norm.",
    ".norm1.": ".layernorm_before.",
    ".norm2.": ".layernorm_after.",
    ".attn.relative_position": ".attention.self.relative_position",
    ".attn.proj.": ".attention.output.dense.",
    ".mlp.fc1.": ".intermediate.dense.",
    ".mlp.fc2.": ".output.dense.",
}
_LEFT_OUT = ("spectrogram_extractor.", "logmel_extractor.", "tscam_conv.", "head.", "class_head.")


def laion_htsat(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """LAION-CLAP's HTSAT tensors (names without `audio_branch.`) -> those of transformers' ClapAudioEncoder.

    attn.qkv is cut in three. The STFT and mel kernels, shift masks and the class head have no counterpart.
    """
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.startswith(_LEFT_OUT) or name.endswith(".attn_mask"):
            continue
        new = name
        for old, ours in _HTSAT.items():
            new = ours + new[len(old) :] if old == "bn0." and new.startswith(old) else new.replace(old, ours)
        if ".attn.qkv." in new:
            for part, rows in zip(("query", "key", "value"), value.chunk(3)):
                found[new.replace(".attn.qkv.", f".attention.self.{part}.")] = rows.clone()
        else:
            found[new] = value
    return found
