"""Options of the importers of PointCLIP and CLIP2Point (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(kw_only=True)
class PointClipImport:
    """pointclip: a file of the inter-view adapter with `clip`, or a file of OpenAI's CLIP alone (zero-shot)."""

    clip: str | None = None
    """File of the CLIP (OpenAI's layout) that the adapter was trained with; it is not inside the adapter's file."""
    tower: Literal["pointclip", "pointclip_v2"] = "pointclip"
    """The views that a CLIP alone shall see. An adapter belongs to pointclip."""
    point: dict[str, Any] = field(default_factory=dict)
    """Options of the point tower that win: {points: 2048, view_weights: [...]}."""


@dataclass(kw_only=True)
class Clip2PointImport:
    """clip2point: a file of the pre-training or of the dual-path adapter."""

    clip: str | None = None
    """File of OpenAI's CLIP ViT-B/32, whose text tower belongs to it. Default: a model without text."""
    point: dict[str, Any] = field(default_factory=dict)
    """Options of the point tower that win: {points: 2048, views: 10}. The views of a pre-training file default to 6."""
