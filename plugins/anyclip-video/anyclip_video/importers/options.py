"""Options of the importers (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt

Positive = Annotated[int, Gt(0)]


@dataclass(kw_only=True)
class Clip4ClipImport:
    """clip4clip: a checkpoint of CLIP4Clip, whose head is read off its tensors; or OpenAI's CLIP, from which the model
    that CLIP4Clip starts from is made: blocks and positions of the head copied from the text tower."""

    head: Literal["meanP", "seqLSTM", "seqTransf", "tightTransf"] | None = None
    """Head of a model that starts from CLIP. Default: what the checkpoint holds, else meanP."""
    layers: Positive = 4
    """Blocks of seqTransf and tightTransf in a model that starts from CLIP."""
    stem: Literal["2d", "3d"] | None = None
    """Patch stem of a model that starts from CLIP. Default: what the checkpoint holds, else 2d."""
    frames: Positive = 12
    """Frames per clip (64 for DiDeMo and ActivityNet)."""
    words: Positive | None = None
    """Tokens per text (32; 64 for DiDeMo and ActivityNet). Default: all positions of the checkpoint, 77."""


@dataclass(kw_only=True)
class XClipImport:
    """xclip: everything is in the tensors."""


@dataclass(kw_only=True)
class MicrosoftImport:
    """transformers-xclip: a folder with config.json, or a weights file with `config`."""

    config: dict[str, Any] = field(default_factory=dict)
    """Content of config.json, when FILE has none beside it."""
    tokenizer: str | None = None
    """Folder of the tokenizer. Default: the one beside the weights; CLIP's vocabulary needs none."""


@dataclass(kw_only=True)
class OneTowerImport:
    """transformers-video: a folder with config.json, or a weights file with `config`."""

    config: dict[str, Any] = field(default_factory=dict)
    """Content of config.json, when FILE has none beside it."""


@dataclass(kw_only=True)
class VideoClipImport:
    """videoclip: what the tensors do not tell."""

    length: Positive = 32
    """Feature vectors per clip (max_video_len)."""
    heads: Positive | None = None
    """Attention heads of both encoders. Default: the width divided by 64."""
    cls_id: Annotated[int, Ge(0)] = 101
    """Id of [CLS] in the vocabulary."""
    sep_id: Annotated[int, Ge(0)] = 102
    """Id of [SEP] in the vocabulary."""
    tokenizer: str | None = None
    """Folder or hub id of the tokenizer (bert-base-uncased). Default: the one beside the weights."""
