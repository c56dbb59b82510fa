"""Options of the importers (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class OpenAIClipImport:
    """openai-clip: everything is in the tensors."""


@dataclass(kw_only=True)
class OpenClipImport:
    """open-clip: `--name` is the model name, or give `config`; a folder with open_clip_config.json needs neither."""

    config: dict[str, Any] = field(default_factory=dict)
    """The model's config (embed_dim, vision_cfg, text_cfg ...) instead of a name."""
    quick_gelu: bool | None = None
    """The activation of OpenAI's models. Default: what the config says."""
    tag: str | None = None
    """A pretrained tag of open_clip, whose mean, std, resizing and activation are taken."""
    tokenizer: str | None = None
    """Folder of the tokenizer for models that do not use CLIP's. Default: a tokenizer beside the weights, else the
    config's, which may need the hub."""


@dataclass(kw_only=True)
class TransformersImport:
    """transformers-clip, transformers-siglip: a folder with config.json, or a weights file with `config`."""

    config: dict[str, Any] = field(default_factory=dict)
    """Content of config.json, when FILE has none beside it."""
    tokenizer: str | None = None
    """Folder of the tokenizer. Default: the one beside the weights; CLIP's vocabulary needs none."""
