"""Tensor names of published checkpoints -> those of our towers and projections; values are kept bit for bit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

State = Mapping[str, Tensor]
_HTSAT = {
    ".norm1.": ".layernorm_before.",
    ".norm2.": ".layernorm_after.",
    ".attn.relative_position": ".attention.self.relative_position",
    ".attn.proj.": ".attention.output.dense.",
    ".mlp.fc1.": ".intermediate.dense.",
    ".mlp.fc2.": ".output.dense.",
}
_FRONT = ("spectrogram_extractor.", "logmel_extractor.")  # STFT and mel kernels
_AUDIOSET = ("tscam_conv.", "head.", "fc_audioset.")  # the classifier that the encoder was pretrained with
MLP = {"0.": "hidden.", "2.": "out."}
"""A `Sequential` of linear layer, activation, linear layer -> our projection `mlp`."""
RESIDUAL = {"linear1.": "first.", "linear2.": "second.", "layer_norm.": "norm."}
"""MS-CLAP's projection -> our projection `residual`."""


def below(state: State, prefix: str) -> dict[str, Tensor]:
    """The tensors under a prefix, without it."""
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}


def put(state: State, prefix: str) -> dict[str, Tensor]:
    """The tensors with a prefix before their names."""
    return {prefix + name: value for name, value in state.items()}


def rest(state: State, prefixes: Iterable[str]) -> dict[str, Tensor]:
    """The tensors that begin with none of the prefixes (or names): what an importer does not know."""
    prefixes = tuple(prefixes)
    return {name: value for name, value in state.items() if not name.startswith(prefixes)}


def renamed(state: State, names: Mapping[str, str]) -> dict[str, Tensor]:
    """Beginnings of names replaced; names with another beginning stay."""
    found = {}
    for name, value in state.items():
        old = next((old for old in names if name.startswith(old)), "")
        found[names[old] + name[len(old) :] if old else name] = value
    return found


def laion_htsat(state: State) -> dict[str, Tensor]:
    """LAION-CLAP's HTSAT tensors (names without `audio_branch.`) -> those of transformers' ClapAudioEncoder.

    attn.qkv is cut in three. The STFT and mel kernels, shift masks and the AudioSet classifier have no counterpart.
    """
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        unused = name.startswith(
            "patch_embed.fusion_model.global_att2."
        )  # the published code takes the first one twice
        if name.startswith(_FRONT + _AUDIOSET) or name.endswith(".attn_mask") or unused:
            continue
        new = "batch_norm." + name[4:] if name.startswith("bn0.") else name
        for old, ours in _HTSAT.items():
            new = new.replace(old, ours)
        if ".attn.qkv." in new:
            for part, rows in zip(("query", "key", "value"), value.chunk(3)):
                found[new.replace(".attn.qkv.", f".attention.self.{part}.")] = rows.clone()
        else:
            found[new] = value
    return found


def pann(state: State) -> dict[str, Tensor]:
    """Published PANN tensors without the STFT and mel kernels and the AudioSet classifier."""
    return rest(state, _FRONT + _AUDIOSET)


def wav2clip(state: State) -> dict[str, Tensor]:
    """Wav2CLIP's audio side: names of the training program (`audio_encoder.`) or of its package (`encoder.`)."""
    state = renamed(state, {"audio_encoder.": "encoder.", "audio_transform.": "transform."})
    return rest(state, ("encoder.spectrogram.", "image_transform."))


def with_constants(state: State) -> dict[str, Tensor]:
    """The state of a ClapModel with the tables that some versions of transformers save and others do not."""
    found = dict(state)
    for name, value in state.items():
        stem = name.rsplit(".", 1)[0]
        if name.endswith(".relative_position_bias_table"):
            side = round(value.shape[0] ** 0.5)
            found.setdefault(f"{stem}.relative_position_index", relative_position_index((side + 1) // 2))
        elif name.endswith(".embeddings.position_embeddings.weight"):
            embeddings = stem.rsplit(".", 1)[0]
            positions = torch.arange(value.shape[0])[None]
            found.setdefault(f"{embeddings}.position_ids", positions)
            found.setdefault(f"{embeddings}.token_type_ids", torch.zeros_like(positions))
    return found


def relative_position_index(window: int) -> Tensor:
    """int64 [N, N], N = window^2: the row of the bias table for each pair of positions (Swin, arXiv 2103.14030)."""
    grid = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
    down, right = (grid[:, :, None] - grid[:, None, :] + window - 1).unbind()
    return down * (2 * window - 1) + right
