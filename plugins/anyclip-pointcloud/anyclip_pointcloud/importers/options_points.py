"""Options of the importers of ULIP and Uni3D (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import Gt

Positive = Annotated[int, Gt(0)]


@dataclass(kw_only=True)
class UlipImport:
    """ulip: the tensors tell the encoder and its sizes; what they do not tell is as published."""

    point: dict[str, Any] = field(default_factory=dict)
    """Options of the point tower that the tensors do not tell: {points: 1024, num_heads: 8}."""
    image_heads: Positive | None = None
    """Attention heads of the image tower. Default: one for 64 channels."""
    text_heads: Positive | None = None
    """Attention heads of the text tower. Default: one for 64 channels."""
    text_tokenizer: str | None = None
    """Tokenizer of the text tower, as in text/open_clip. Default: CLIP's."""


@dataclass(kw_only=True)
class PairedClipImport:
    """A point encoder, and where to find the CLIP that it was trained with."""

    point: dict[str, Any] = field(default_factory=dict)
    """Options of the point tower that the tensors do not tell: {points: 2048}."""
    clip: str | None = None
    """File or folder of the CLIP that the points were aligned with, in open_clip's layout, to be imported with them.
    Default: the one inside the checkpoint; where there is none, a model with points alone."""
    clip_config: dict[str, Any] = field(default_factory=dict)
    """Config of that CLIP (embed_dim, vision_cfg, text_cfg ...) where it is not the published one."""


@dataclass(kw_only=True)
class Ulip2Import(PairedClipImport):
    """ulip-2: the published CLIP is open_clip's ViT-bigG-14."""


@dataclass(kw_only=True)
class Uni3dImport(PairedClipImport):
    """uni3d: the published CLIP is open_clip's EVA02-E-14-plus, which comes as a file of its own."""
