"""Model folders on the Hugging Face hub: `hf://OWNER/NAME` or `hf://OWNER/NAME@REVISION`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anyclip.errors import CheckpointError, UserError

PREFIX = "hf://"
_ADDRESS = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+?)(@(?P<revision>[\w./-]+))?/?")
_INSTALL = 'pip install "huggingface_hub>=0.25"'


@dataclass(frozen=True)
class HubAddress:
    """A model repository on the hub, and a branch, tag or commit of it (None: the main branch)."""

    repo: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> HubAddress:
        """Raises UserError for anything but hf://OWNER/NAME[@REVISION]."""
        found = _ADDRESS.fullmatch(text)
        if found is None:
            raise UserError(
                "this is no address of a model on the hub.", where=text, hint="Write hf://OWNER/NAME or add @REVISION."
            )
        return cls(found["repo"], found["revision"])

    def __str__(self) -> str:
        return f"{PREFIX}{self.repo}" + (f"@{self.revision}" if self.revision else "")


def is_hub(path: Any) -> bool:
    return isinstance(path, str) and path.startswith(PREFIX)


def fetch(address: str) -> Path:
    """The folder of a model of the hub in the local cache, downloaded where it is not there yet.

    With `HF_HUB_OFFLINE=1` only the cache is read. Only the files of a model folder are taken. Raises UserError for a
    wrong address and CheckpointError when the model cannot be had.
    """
    where = HubAddress.parse(address)
    hub = library()
    try:
        wanted = ["config.yaml", "versions.json", "*.safetensors", "assets/**", "README.md"]
        return Path(hub.snapshot_download(where.repo, revision=where.revision, allow_patterns=wanted))
    except (hub.errors.HfHubHTTPError, hub.errors.HFValidationError, OSError, ValueError) as error:
        raise CheckpointError(*_reason(hub, error), where=str(where)) from error


def _reason(hub: Any, error: Exception) -> tuple[str]:
    if isinstance(error, hub.errors.GatedRepoError):
        return ("the model is gated: accept its terms on its page and log in (hf auth login).",)
    if isinstance(error, hub.errors.RepositoryNotFoundError):
        return ("there is no such model, or it is private and nobody is logged in (hf auth login).",)
    if isinstance(error, hub.errors.RevisionNotFoundError):
        return ("the model has no such revision.",)
    if isinstance(error, hub.errors.LocalEntryNotFoundError):
        return ("the model is not in the local cache, and the hub cannot be reached (or HF_HUB_OFFLINE is set).",)
    return (f"the model cannot be had: {(str(error).splitlines() or [repr(error)])[0]}",)


def library() -> Any:
    """huggingface_hub. Raises UserError where it is not installed."""
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise UserError("the hub needs huggingface_hub, which is not installed.", next=_INSTALL) from error
    return huggingface_hub
