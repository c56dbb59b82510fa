"""A config that is evaluated without training: its first weights as a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from anyclip.config import load_config
from anyclip.errors import UserError


def is_config(path: str) -> bool:
    """Whether a command's argument is a config file instead of a folder."""
    return Path(path).suffix in (".yaml", ".yml")


def first_weights(config: str, overrides: Sequence[str], out: str | None) -> str:
    """Write the model of a config, with the weights that `pretrained` and `init` give it, and return its folder.

    out: the folder; default `train.out` of the config, else `runs/<its name>`. A model folder there is replaced. Raises
    UserError when a trained run is there.
    """
    from anyclip.checkpoint import save_model_folder
    from anyclip.model import build_model
    from anyclip.trainer.session import load_first_weights

    loaded = load_config(config, overrides)
    folder = Path(out or loaded.train.out or Path("runs") / Path(config).stem)
    if (folder / "checkpoints").exists():
        raise UserError(
            "a trained run is in the folder.",
            where=str(folder),
            hint="Evaluate the run itself, or give another folder: --out FOLDER.",
            next=f"anyclip eval {folder}",
        )
    model = build_model(loaded.model, seed=loaded.train.seed)
    load_first_weights(model, loaded)
    return str(save_model_folder(folder, model.eval(), loaded))
