"""Open models that were trained here or published elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anyclip.api.model import Model
from anyclip.checkpoint import open_model
from anyclip.checkpoint.hub import fetch, is_hub


def load(path: str | Path, *, device: torch.device | str | None = None) -> Model:
    """Open a run folder (its latest checkpoint), a checkpoint folder or a model folder, in eval mode.

    path: a folder, or `hf://OWNER/NAME` for a model of the hub.
    device: where to run; None: the CPU, `"auto"`: an accelerator when there is one.
    Raises CheckpointError when nothing is there, a file is damaged, or tensors are missing or unexpected.
    """
    folder = fetch(str(path)) if is_hub(path) else Path(path).expanduser()
    joint, config = open_model(folder)
    return Model(joint.to(pick_device(device)), config, path=folder)


def import_checkpoint(
    layout: str,
    source: str | Path | Mapping[str, Tensor],
    *,
    name: str | None = None,
    device: torch.device | str | None = None,
    **options: Any,
) -> Model:
    """A model from a published checkpoint: `import_checkpoint("openai-clip", "ViT-B-32.pt")`.

    Args:
        layout: a registered importer; `anyclip plugins` lists them.
        source: a file (read without executing anything) or a state dict.
        name: the model's name where the tensors alone do not tell it.
        options: of the importer.

    Raises PluginError for an unknown layout and CheckpointError listing tensors that are missing or unexpected.
    """
    from anyclip.checkpoint.importing import import_checkpoint_file

    joint, config = import_checkpoint_file(layout, source, name=name, options=options)
    return Model(joint.to(pick_device(device)), config)


def pick_device(device: torch.device | str | None) -> torch.device:
    """None: the CPU; `auto`: an accelerator when there is one. Raises UserError for one that is not there."""
    from anyclip.errors import UserError

    if device is None:
        return torch.device("cpu")
    if device == "auto":
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"the device {device!s} cannot be used: {reason}", hint="Try cpu or auto.") from error
