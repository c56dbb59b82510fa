"""Options of the importers (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class TextSideImport:
    """What importers of audio-text checkpoints take."""

    tokenizer: str | None = None
    """Folder, hub id or `package:NAME/FOLDER` of the text model's tokenizer. Default: the one beside the weights, else
    the one that the model was published with, from the hub."""


@dataclass(kw_only=True)
class LaionClapImport(TextSideImport):
    """laion-clap: the architecture is read off the tensors' shapes."""

    antialias: bool = True
    """Fused models: shrink spectrograms of long sounds as today's torchvision does; false: as in 2022."""


@dataclass(kw_only=True)
class MsClapImport(TextSideImport):
    """msclap: the year is read off the tensors."""


@dataclass(kw_only=True)
class AudioClipImport:
    """audioclip: everything is in the tensors."""

    tokenizer: str | None = None
    """Another tokenizer than CLIP's, for a model with another vocabulary: `bytes` or a folder."""


@dataclass(kw_only=True)
class Wav2clipImport:
    """wav2clip: the audio side."""

    clip: str | None = None
    """File of OpenAI's CLIP ViT-B/32, whose image and text towers share the space; without it only sounds embed."""


@dataclass(kw_only=True)
class TransformersClapImport(TextSideImport):
    """transformers-clap: a folder with config.json, or a weights file with `config`."""

    config: dict[str, Any] = field(default_factory=dict)
    """Content of config.json, when FILE has none beside it."""


@dataclass(kw_only=True)
class OpenClipClapImport(TextSideImport):
    """open-clip-clap: a folder with open_clip_config.json, or `config`, or `--name` with open_clip 4.2."""

    config: dict[str, Any] = field(default_factory=dict)
    """The model's config (embed_dim, audio_cfg, text_cfg) instead of a name."""
