"""clip4clip and xclip: CLIP4Clip, X-CLIP for retrieval, and the models that both start from.

Facts: ArrowLuo/CLIP4Clip and xuguohai/X-CLIP. Both hold a CLIP under `clip.`, a temporal head beside it, and the tight
head or the matrices of the multi-grained similarity.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from anyclip_image.importers.openai_clip import NO_WEIGHTS, architecture
from torch import Tensor

from anyclip.checkpoint.importing import Imported, prefixed, scale_of
from anyclip.errors import CheckpointError
from anyclip.model.build import seeded

_MATRICES = {
    "global_mat_weight": "whole",
    "local_mat_weight": "local",
    "word_logit_weight": "words_video",
    "frame_logit_weight": "frames_sentence",
    "word_mat_weight": "words_inner",
    "frame_mat_weight": "frames_inner",
    "word_mat_weight2": "words_outer",
    "frame_mat_weight2": "frames_outer",
}
_TIGHT = {
    "cross.embeddings.position_embeddings.": "positions.",
    "cross.transformer.resblocks.": "blocks.",
    "cross.pooler.ln_pool.": "pooler.norm.",
    "cross.pooler.dense.": "pooler.dense.",
    "similarity_dense.": "out.",
}
_UNUSED = ("cross.embeddings.word_embeddings.", "cross.embeddings.token_type_embeddings.", "cross.embeddings.LayerNorm")


def import_clip4clip(
    state: Mapping[str, Tensor],
    *,
    name: str | None = None,
    source: Path | None = None,
    head: str | None = None,
    layers: int = 4,
    stem: str | None = None,
    frames: int = 12,
    words: int | None = None,
) -> Imported:
    """Towers `video/frames` and `text/open_clip`; the tight head is a similarity of the pair."""
    where = str(source or "clip4clip")
    if not any(key.startswith("clip.") for key in state):
        state = started(state, head or "meanP", layers, stem or "2d", where)
    elif head not in (None, head_of(state)):
        raise CheckpointError(f"its head is {head_of(state)}, not {head}.", where=where)
    found = _Pieces(state, where)
    kind = head_of(state)
    options = found.video_options(kind, frames)
    edge: dict[str, Any] = {"pair": ["text", "video"], "loss": "infonce", "scale": {"init": found.scale, "max": 100}}
    objectives: dict[str, Tensor] = {}
    if kind == "tightTransf":
        options["tokens"] = "frames"
        objectives = {
            f"0.similarity.{new}{key[len(old) :]}": tensor
            for old, new in _TIGHT.items()
            for key, tensor in found.rest.items()
            if key.startswith(old)
        }
        width = found.config["embed_dim"]
        edge["similarity"] = {
            "name": "clip4clip_tight",
            "options": {
                "dim": width,
                "layers": _count(state, "cross.transformer.resblocks."),
                "positions": state["cross.embeddings.position_embeddings.weight"].shape[0],
            },
        }
        edge["scale"] = {"init": 1.0, "learn": False}
    return found.imported(options, edge, objectives, words, used=(*_TIGHT, *_UNUSED))


def import_xclip(state: Mapping[str, Tensor], *, name: str | None = None, source: Path | None = None) -> Imported:
    """As CLIP4Clip, with the similarity `multi_grained`; words and frames have the published fixed numbers.

    Raises CheckpointError where the matrices of the similarity are missing.
    """
    where = str(source or "xclip")
    missing = [key for key in _MATRICES if key not in state]
    if missing:
        raise CheckpointError(
            f"is not X-CLIP's layout: it lacks {', '.join(missing)}.",
            where=where,
            hint="clip4clip reads CLIP4Clip, transformers-xclip the X-CLIP of Microsoft.",
        )
    found = _Pieces(state, where)
    words, frames = state["word_mat_weight"].shape[0], state["frame_mat_weight"].shape[0]
    options = found.video_options(head_of(state), frames) | {"tokens": "frames", "encode_padding": True}
    similarity = {
        "dim": found.config["embed_dim"],
        "words": words,
        "frames": frames,
        "video": "features",
        "mask": False,
    }
    edge = {
        "pair": ["text", "video"],
        "loss": "infonce",
        "similarity": {"name": "multi_grained", "options": similarity},
        "scale": {"init": found.scale, "max": 100},
    }
    objectives = {f"0.similarity.{new}": state[old] for old, new in _MATRICES.items()}
    return found.imported(options, edge, objectives, words, used=tuple(_MATRICES))


def head_of(state: Mapping[str, Tensor]) -> str:
    """The head whose tensors a checkpoint holds."""
    marks = {"similarity_dense.weight": "tightTransf", "lstm_visual.weight_ih_l0": "seqLSTM"}
    for key, kind in marks.items():
        if key in state:
            return kind
    return "seqTransf" if any(key.startswith("transformerClip.") for key in state) else "meanP"


class _Pieces:
    """The CLIP inside a checkpoint, and the rest."""

    def __init__(self, state: Mapping[str, Tensor], where: str):
        self.where = where
        clip = prefixed(state, "clip.", "")
        self.clip = {key: tensor for key, tensor in clip.items() if key.rsplit(".", 1)[-1] not in NO_WEIGHTS}
        self.rest = {key: tensor for key, tensor in state.items() if not key.startswith("clip.")}
        try:
            self.config = architecture(self.clip)
            self.scale = scale_of(self.clip.pop("logit_scale"))
        except (KeyError, IndexError) as error:
            raise CheckpointError(f"holds no CLIP: it lacks {error}.", where=where) from error

    def video_options(self, head: str, frames: int) -> dict[str, Any]:
        model = {key: self.config[key] for key in ("embed_dim", "vision_cfg", "quick_gelu")}
        frame = {"name": "image/open_clip", "options": {"model": model, "output": "projected"}}
        options: dict[str, Any] = {"frame": frame, "frames": frames, "short": "pad"}
        options["head"] = "meanP" if head == "tightTransf" else head
        if "visual.conv2.weight" in self.clip:
            options["stem"] = "3d"
        if head == "seqTransf":
            options["head_layers"] = _count(self.rest, "transformerClip.resblocks.")
            options["positions"] = self.rest["frame_position_embeddings.weight"].shape[0]
        return options

    def imported(
        self,
        options: dict[str, Any],
        edge: dict[str, Any],
        objectives: dict[str, Tensor],
        words: int | None,
        *,
        used: tuple[str, ...],
    ) -> Imported:
        """The whole model. used: prefixes of tensors that `objectives` took, or that the origin does not use."""
        text_cfg = dict(self.config["text_cfg"])
        state = self._towers(options["head"])
        if words is not None and words < text_cfg["context_length"]:
            text_cfg["context_length"] = words
            key = "towers.text.model.positional_embedding"
            state[key] = state[key][:words]
        text = {"embed_dim": self.config["embed_dim"], "text_cfg": text_cfg, "quick_gelu": self.config["quick_gelu"]}
        towers = {
            "video": {"name": "video/frames", "options": options, "projection": "identity"},
            "text": {
                "name": "text/open_clip",
                "options": {"model": text, "output": "projected"},
                "projection": "identity",
            },
        }
        head = ("transformerClip.", "lstm_visual.", "frame_position_embeddings.")
        state |= {key: tensor for key, tensor in self.rest.items() if not key.startswith((*head, *used))}
        config = {"model": {"dim": self.config["embed_dim"], "towers": towers}, "objectives": [edge]}
        return Imported(config=config, state=state, objectives=objectives)

    def _towers(self, head: str) -> dict[str, Tensor]:
        state: dict[str, Tensor] = {}
        for key, tensor in self.clip.items():
            if key == "visual.conv2.weight":
                state["towers.video.stem.conv.weight"] = tensor
            elif key.startswith("visual."):
                state[f"towers.video.frame.model.{key.removeprefix('visual.')}"] = tensor
            else:
                state[f"towers.text.model.{key}"] = tensor
        state |= prefixed(self.rest, "lstm_visual.", "towers.video.head.lstm.")
        state |= prefixed(self.rest, "transformerClip.resblocks.", "towers.video.head.blocks.")
        if head == "seqTransf":  # the LSTM's checkpoints hold positions too, and do not use them
            state |= prefixed(self.rest, "frame_position_embeddings.", "towers.video.head.positions.")
        return state


def started(clip: Mapping[str, Tensor], head: str, layers: int, stem: str, where: str) -> dict[str, Tensor]:
    """The state with which CLIP4Clip begins its training, from OpenAI's CLIP.

    Blocks of the head are the first of CLIP's text transformer, frame positions its text positions; the 3D stem is
    CLIP's patch convolution on the middle frame; what CLIP has not is drawn from N(0, 0.02).
    """
    with seeded(f"clip4clip/{head}"):  # importing twice gives the same
        return _started(clip, head, layers, stem, where)


def _started(clip: Mapping[str, Tensor], head: str, layers: int, stem: str, where: str) -> dict[str, Tensor]:
    state = {f"clip.{key}": tensor for key, tensor in clip.items()}
    try:
        table, width = clip["positional_embedding"], clip["text_projection"].shape[1]
        patches = clip["visual.conv1.weight"] if stem == "3d" else None
    except KeyError as error:
        raise CheckpointError(
            f"is neither CLIP4Clip's nor OpenAI CLIP's layout: it lacks {error}.", where=where, next="anyclip plugins"
        ) from error
    if head in ("seqTransf", "tightTransf"):
        prefix = {"seqTransf": "transformerClip.", "tightTransf": "cross.transformer."}[head]
        have = _count(clip, "transformer.resblocks.")
        if layers > have:
            raise CheckpointError(f"has {have} text blocks to start {layers} blocks of the head from.", where=where)
        for key, tensor in clip.items():
            match = re.match(r"transformer\.resblocks\.(\d+)\.", key)
            if match and int(match[1]) < layers:
                state[prefix + key.removeprefix("transformer.")] = tensor
        positions = {"seqTransf": "frame_position_embeddings", "tightTransf": "cross.embeddings.position_embeddings"}
        state[f"{positions[head]}.weight"] = table
    if head == "seqLSTM":
        lstm = torch.nn.LSTM(width, width)
        state |= {f"lstm_visual.{key}": tensor.detach() for key, tensor in lstm.state_dict().items()}
    if head == "tightTransf":
        draw = {"cross.pooler.dense": (width, width), "similarity_dense": (1, width)}
        for key, shape in draw.items():
            state |= {f"{key}.weight": 0.02 * torch.randn(shape), f"{key}.bias": torch.zeros(shape[0])}
        state |= {"cross.pooler.ln_pool.weight": torch.ones(width), "cross.pooler.ln_pool.bias": torch.zeros(width)}
    if patches is not None:
        state["clip.visual.conv2.weight"] = torch.stack([0 * patches, patches, 0 * patches], dim=2)
    return state


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    return len({key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)})
