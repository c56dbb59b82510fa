"""What the importers share: the config of an image-text model, tokenizers beside the weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from anyclip.checkpoint.importing import scale_of
from anyclip.errors import CheckpointError

SCALES = ("logit_scale", "logit_bias")


def two_towers(
    dim: int, image: dict[str, Any], text: dict[str, Any], state: Mapping[str, Tensor], *, where: str
) -> dict[str, Any]:
    """Config of a model with identity projections. A `logit_bias` makes the pair a sigmoid one."""
    if "logit_scale" not in state:
        raise CheckpointError("holds no logit_scale, so it is no image-text model.", where=where)
    edge: dict[str, Any] = {
        "pair": ["image", "text"],
        "loss": "siglip" if "logit_bias" in state else "infonce",
        "scale": {"init": scale_of(state["logit_scale"])},
    }
    if "logit_bias" in state:
        edge["bias"] = {"init": state["logit_bias"].double().reshape(()).item()}
    towers = {"image": {**image, "projection": "identity"}, "text": {**text, "projection": "identity"}}
    return {"model": {"dim": dim, "towers": towers}, "objectives": [edge]}


def folder_of(source: Path | None) -> Path | None:
    """The folder of a checkpoint, where its config and tokenizer may lie."""
    if source is None:
        return None
    return source if source.is_dir() else source.parent


def read_json(source: Path | None, name: str) -> dict[str, Any]:
    """A JSON file beside the weights; {} when it is not there."""
    folder = folder_of(source)
    if folder is None or not (folder / name).is_file():
        return {}
    try:
        return json.loads((folder / name).read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"is no valid JSON: {error}.", where=str(folder / name)) from error


def tokenizer_beside(source: Path | None) -> str | None:
    """The folder of the weights when it also holds a tokenizer."""
    folder = folder_of(source)
    names = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
    return str(folder) if folder and any((folder / name).is_file() for name in names) else None


def tokenizer_asset(place: str, **settings: Any) -> Callable[[Path], None]:
    """Writes a tokenizer into the assets of a text tower."""
    from anyclip_text.tokenizers import create_tokenizer

    def write(folder: Path) -> None:
        create_tokenizer(place, **settings).save(folder / "tokenizer")

    return write
