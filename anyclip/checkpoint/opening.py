"""Open a trained or imported model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from anyclip.checkpoint.folder import EMA_FILE, MODEL_FILE, find_weights
from anyclip.checkpoint.tensors import load_into, load_tensors
from anyclip.config import load_config

if TYPE_CHECKING:
    from anyclip.config import Config
    from anyclip.model import JointModel


def open_model(path: str | Path, *, ema: bool = True) -> tuple[JointModel, Config]:
    """(model in eval mode on the CPU, its config) of a run folder (latest checkpoint), a checkpoint, or a model folder.

    ema: take the averaged weights of a run that keeps them, the ones its evaluations measured; False: the last ones.
    Raises CheckpointError when nothing is there, a file is damaged, or tensors are missing or unexpected (all listed).
    Only safetensors are read: opening a model cannot run code.
    """
    from anyclip.model import build_model

    root, weights = find_weights(path)
    config = load_config(root / "config.yaml")
    assets = root / "assets"
    model = build_model(config.model, assets=assets if assets.is_dir() else None, load_weights=False)
    file = weights / EMA_FILE if ema and (weights / EMA_FILE).is_file() else weights / MODEL_FILE
    load_into(model, load_tensors(file), where=str(file))
    return model.eval(), config
