"""Begin a run folder or go on in one: what may change between two starts of a run, and what may not."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from anyclip.checkpoint import RunFolder, changed_versions, current_versions, write_text_atomic
from anyclip.config import Config, dump_config, load_config
from anyclip.errors import CheckpointError, UserError
from anyclip.trainer.checkpoints import read_state

# Settings that a resumed run may change: how long it runs, how it is spread over the machine, what it reports.
# Under `train.steps` and `train.epochs` the rest of the schedule follows the new length. Another number of processes
# (devices, num_nodes), strategy, micro_batch, threads or compile gives the same run up to rounding, not bit for bit.
MAY_CHANGE = (
    "base",
    "data.val",
    "data.workers",
    "data.prefetch",
    "data.max_bad",
    "eval",
    "train.steps",
    "train.epochs",
    "train.accelerator",
    "train.devices",
    "train.num_nodes",
    "train.strategy",
    "train.micro_batch",
    "train.compile",
    "train.threads",
    "train.log_every",
    "train.validate_every",
    "train.checkpoint_every",
    "train.checkpoint_minutes",
    "train.keep",
    "train.max_nonfinite",
    "train.loggers",
    "train.out",
)


def begin(config: Config, folder: RunFolder, *, overwrite: bool) -> None:
    """Make the folder of a new run. Raises UserError when there is a run in it already, naming the choices."""
    if folder.path.exists() and not folder.path.is_dir():
        raise UserError("is a file, not a folder.", where=str(folder.path), hint="Choose another train.out.")
    if folder.path.is_dir() and any(folder.path.iterdir()):
        if not folder.config.is_file():
            raise UserError(
                "holds files that are no run.", where=str(folder.path), hint="Choose another folder: train.out=FOLDER."
            )
        if not overwrite:
            raise UserError(
                "there is a run in this folder.",
                where=str(folder.path),
                hint="Go on with it: --resume. Start anew and delete it: --overwrite. Or choose another train.out.",
            )
        shutil.rmtree(folder.path)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        _describe(config, folder)  # first: without a config.yaml the folder would not count as a run
        folder.checkpoints.mkdir()
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror or error}.", where=str(folder.path)) from error


def go_on(config: Config, folder: RunFolder) -> tuple[Path | None, list[str]]:
    """(checkpoint to resume, things to know) of a run folder; no checkpoint when the run was killed before its first.

    Raises UserError when there is no run, or when settings differ that would make it another run, naming each.
    """
    if not folder.config.is_file():
        raise UserError(
            "there is no run to resume in this folder.", where=str(folder.path), hint="Start it without --resume."
        )
    changed = changes(config, load_config(folder.config))
    refused = [c for c in changed if not _may_change(c[0])]
    if refused:
        lines = "\n".join(f"  {key}: {before!r} -> {now!r}" for key, before, now in refused)
        raise UserError(
            f"the config is not the one of this run:\n{lines}\n",
            where=str(folder.path),
            hint="Put these back, or start another run with train.out=FOLDER.",
            next=f"anyclip train {folder.config} --resume",
        )
    folder.remove_unfinished()
    notes = [f"changed since the run began: {key}: {before!r} -> {now!r}" for key, before, now in changed]
    notes += [f"changed since the run began: {text}" for text in changed_versions(folder.versions)]
    _describe(config, folder)
    return folder.latest(), notes


def changes(now: Config, before: Config) -> list[tuple[str, Any, Any]]:
    """(key, value before, value now) of every setting that differs."""
    old, new = _flat(asdict(before)), _flat(asdict(now))
    keys = [*old, *(k for k in new if k not in old)]
    return [(k, old.get(k), new.get(k)) for k in keys if old.get(k) != new.get(k)]


def check_checkpoint(folder: Path, fingerprint: str, world: int) -> list[str]:
    """Things to know about a checkpoint. Raises CheckpointError when the training data is not what it was."""
    values = read_state(folder)
    if values["data"] != fingerprint:
        raise CheckpointError(
            "the training data changed since this checkpoint was written, so the run cannot go on as it would have.",
            where=str(folder),
            hint="Put the data back, or start another run: train.out=FOLDER, with this one as `init` of its towers.",
        )
    notes = []
    for name, now in (("processes", world), ("threads", torch.get_num_threads())):
        before = values["world" if name == "processes" else name]
        if before != now:
            hint = " (train.threads sets it)" if name == "threads" else ""
            notes.append(f"{name}: {before} -> {now}{hint}: the same run up to rounding, not bit for bit")
    return notes


def _describe(config: Config, folder: RunFolder) -> None:
    write_text_atomic(folder.config, dump_config(config))
    write_text_atomic(folder.versions, json.dumps(current_versions(), indent=2) + "\n")


def _may_change(key: str) -> bool:
    return any(key == allowed or key.startswith(allowed + ".") for allowed in MAY_CHANGE)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        items: Any = value.items()
    elif isinstance(value, list) and value:
        items = enumerate(value)
    else:
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in items:
        flat |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat
