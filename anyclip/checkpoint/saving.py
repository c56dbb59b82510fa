"""Model folders: `config.yaml`, `model.safetensors`, `assets/`, `versions.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from anyclip.checkpoint.atomic import write_atomic
from anyclip.checkpoint.folder import MODEL_FILE, OBJECTIVES_FILE
from anyclip.checkpoint.tensors import module_state, save_tensors
from anyclip.checkpoint.versions import current_versions
from anyclip.config import dump_config
from anyclip.errors import CheckpointError

if TYPE_CHECKING:
    from anyclip.config import Config
    from anyclip.model import JointModel
    from anyclip.objectives import Objectives


def save_model_folder(
    path: str | Path, model: JointModel, config: Config, *, objectives: Objectives | None = None
) -> Path:
    """Write a model that `open_model` opens. Atomic: the folder appears whole or not at all.

    objectives: also written, for similarities that have weights; `open_similarities` opens them.
    Raises CheckpointError when the disk refuses, naming the reason; an existing folder is replaced only at the end.
    """

    def write(folder: Path) -> None:
        (folder / "config.yaml").write_text(dump_config(config), encoding="utf-8")
        (folder / "versions.json").write_text(json.dumps(current_versions(), indent=2) + "\n")
        (folder / "assets").mkdir()
        model.save_assets(folder / "assets")
        save_tensors(module_state(model), folder / MODEL_FILE)
        if objectives is not None:
            save_tensors(module_state(objectives), folder / OBJECTIVES_FILE)

    try:
        return write_atomic(path, write)
    except OSError as error:
        raise CheckpointError(f"the model could not be written: {error.strerror or error}.", where=str(path)) from error
