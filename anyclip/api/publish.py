"""Write a model as others get it, and send it to the hub."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from anyclip.api.card import model_card
from anyclip.checkpoint import save_model_folder
from anyclip.checkpoint.hub import HubAddress, library
from anyclip.config.schema import DataConfig
from anyclip.errors import UserError

if TYPE_CHECKING:
    from anyclip.api.model import Model
    from anyclip.config import Config


def write_published(model: Model, out: str | Path, *, name: str) -> Path:
    """A model folder with a model card (README.md) and without the paths of the training data.

    name: what the card calls it. Raises CheckpointError when the disk refuses.
    """
    run = model.path if model.path is not None and model.path.is_dir() else None
    card = model_card(model, name, run)
    folder = save_model_folder(out, model.joint, _without_places(model.config))
    (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


def _without_places(config: Config) -> Config:
    """The config without data, and without where first weights lay: nothing that the model needs."""
    towers = {stream: replace(tower, init=None) for stream, tower in config.model.towers.items()}
    data = DataConfig(batch_size=config.data.batch_size)
    return replace(config, model=replace(config.model, towers=towers), data=data, eval=[], base=None)


def push(model: Model, address: str, *, private: bool = True, message: str | None = None) -> str:
    """Upload a model to the hub; returns the address of the commit.

    address: hf://OWNER/NAME, made when it is not there yet; @BRANCH for another branch. Logs in with the token of
    `hf auth login` or HF_TOKEN. Raises UserError when the hub refuses.
    """
    where = HubAddress.parse(address)
    hub = library()
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_published(model, Path(scratch) / "model", name=str(where))
        api = hub.HfApi(library_name="anyclip")
        try:
            api.create_repo(where.repo, private=private, exist_ok=True)
            if where.revision:
                api.create_branch(where.repo, branch=where.revision, exist_ok=True)
            commit = api.upload_folder(
                repo_id=where.repo,
                folder_path=folder,
                revision=where.revision,
                commit_message=message or "Add an anyclip model",
            )
        except (hub.errors.HfHubHTTPError, hub.errors.HFValidationError, OSError, ValueError) as error:
            reason = (str(error).splitlines() or [repr(error)])[0]
            hint = "Is HF_HUB_OFFLINE set, or nobody logged in?"
            raise UserError(
                f"the hub did not take the model: {reason}", where=str(where), hint=hint, next="hf auth login"
            ) from error
    return str(commit.commit_url)
