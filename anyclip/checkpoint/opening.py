"""Open a trained or imported model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from anyclip.checkpoint.folder import EMA_FILE, MODEL_FILE, OBJECTIVES_FILE, find_weights
from anyclip.checkpoint.tensors import load_into, load_tensors
from anyclip.config import load_config

if TYPE_CHECKING:
    from anyclip.config import Config
    from anyclip.model import JointModel
    from anyclip.similarities import Similarity


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


def open_similarities(path: str | Path, model: JointModel, config: Config) -> dict[tuple[str, str], Similarity]:
    """Pair -> its similarity with the weights that a run, checkpoint or model folder keeps, in eval mode.

    model, config: as `open_model` gave them. Pairs whose similarity has no weights are left out: the config says all
    of them. {} for a folder that keeps no weights of objectives. Raises CheckpointError as `open_model`.
    """
    from anyclip.objectives import PairObjective, build_objectives

    file = find_weights(path)[1] / OBJECTIVES_FILE
    if not config.objectives or not file.is_file():
        return {}
    objectives = build_objectives(config, model)
    load_into(objectives, load_tensors(file), where=str(file))
    found = {o.streams: o.similarity for o in objectives.eval() if isinstance(o, PairObjective)}
    return {pair: similarity for pair, similarity in found.items() if any(True for _ in similarity.parameters())}
