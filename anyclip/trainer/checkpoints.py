"""Write and read training checkpoints: weights, objectives, optimizer, average, counters."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from anyclip.checkpoint import load_tensors, save_tensors, write_atomic
from anyclip.checkpoint.folder import EMA_FILE, MODEL_FILE, OBJECTIVES_FILE, OPTIMIZER_FILE, STATE_FILE, RunFolder
from anyclip.checkpoint.tensors import load_into, module_state
from anyclip.errors import CheckpointError
from anyclip.trainer.agree import gather, on_main
from anyclip.trainer.optimizers import load_optimizer_state, optimizer_state
from anyclip.trainer.state import TrainState

if TYPE_CHECKING:
    from anyclip.trainer.session import Session

FORMAT = 1
SAMPLER_FILE = "sampler.safetensors"


def save_checkpoint(session: Session) -> None:
    """Write the state after `session.state.step` steps; every process calls this.

    The folder appears whole; then `latest` names it; then old ones go. Raises CheckpointError when the disk refuses,
    naming the last good checkpoint.
    """
    main = session.fabric.is_global_zero
    model = module_state(session.model, keep=main)
    objectives = module_state(session.objectives, keep=main)
    tensors, counters = optimizer_state(session.optimizer, keep=main)
    average = session.ema.state(keep=main) if session.ema else None
    sampler = session.data.state_dict()
    sampled = {name: value for name, value in sampler["sampler"].items() if isinstance(value, Tensor)}
    values = {
        "format": FORMAT,
        **session.state.dump(),
        "data": session.data.fingerprint(),
        "sampler": {"sampler": {name: v for name, v in sampler["sampler"].items() if name not in sampled}},
        "quarantine": merge_counts(gather(session.fabric, session.quarantine.state_dict())),
        "optimizer": counters,
        "precision": _plain(session.fabric.strategy.precision.state_dict()),
        "world": session.fabric.world_size,
        "threads": torch.get_num_threads(),
    }

    def write(folder: Path) -> None:
        save_tensors(model, folder / MODEL_FILE)
        save_tensors(objectives, folder / OBJECTIVES_FILE)
        save_tensors(tensors, folder / OPTIMIZER_FILE)
        if average is not None:
            save_tensors(average, folder / EMA_FILE)
        if sampled:
            save_tensors(sampled, folder / SAMPLER_FILE)
        (folder / STATE_FILE).write_text(json.dumps(values, indent=1) + "\n")

    on_main(session.fabric, lambda: _finish(session, write))


def _finish(session: Session, write: Callable[[Path], None]) -> None:
    folder, step = session.folder, session.state.step
    try:
        if session.metrics is not None:
            session.metrics.sync()
        write_atomic(folder.checkpoint(step), write)
        folder.point_latest(step)
        folder.prune(session.config.train.keep)
    except OSError as error:
        good = folder.latest()
        resume = f"The last good one is {good}." if good else "There is no earlier one."
        raise CheckpointError(
            f"the checkpoint of step {step} could not be written: {error.strerror or error}.",
            where=str(folder.checkpoints),
            hint=f"{resume} Make room (a checkpoint needs {_size(session)}), then go on with --resume.",
            next=f"anyclip train {folder.config} --resume" if good else None,
        ) from error


def load_checkpoint(session: Session, folder: Path) -> TrainState:
    """Put everything back into a session that was set up from the same config, on any number of processes."""
    main = session.fabric.is_global_zero
    load_into(session.model, load_tensors(folder / MODEL_FILE), where=str(folder / MODEL_FILE))
    load_into(session.objectives, load_tensors(folder / OBJECTIVES_FILE), where=str(folder / OBJECTIVES_FILE))
    values = read_state(folder)
    path = folder / OPTIMIZER_FILE
    load_optimizer_state(session.optimizer, load_tensors(path), values["optimizer"], where=str(path))
    if session.ema:
        session.ema.load(load_tensors(folder / EMA_FILE))
    if values["precision"]:
        session.fabric.strategy.precision.load_state_dict(values["precision"])
    sampled = load_tensors(folder / SAMPLER_FILE) if (folder / SAMPLER_FILE).exists() else {}
    session.data.load_state_dict({"sampler": {**values["sampler"]["sampler"], **sampled}})
    if main:
        session.quarantine.load_state_dict(values["quarantine"])
    return TrainState.load({k: values[k] for k in vars(TrainState())})


def read_state(folder: Path) -> dict[str, Any]:
    """state.json of a checkpoint. Raises CheckpointError when it is damaged or of a newer format."""
    path = folder / STATE_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        newer = values["format"] > FORMAT
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"cannot be read: {error}.", where=str(path)) from error
    if newer:
        raise CheckpointError("was written by a newer anyclip.", where=str(path), next="pip install -U anyclip")
    return values


def save_assets(folder: RunFolder, save: Callable[[Path], None]) -> None:
    """The files without which the towers cannot be rebuilt; once per run."""
    try:
        write_atomic(folder.assets, save)
    except OSError as error:
        raise CheckpointError(f"cannot be written: {error.strerror or error}.", where=str(folder.assets)) from error


def merge_counts(states: list[dict[str, Any]]) -> dict[str, Any]:
    """Quarantine counters of all processes as if one had counted."""
    merged: dict[str, Any] = {"tried": {}, "bad": {}, "recent": {}, "first": {}}
    for state in states:
        for key in ("tried", "bad"):
            for stream, count in state[key].items():
                merged[key][stream] = merged[key].get(stream, 0) + count
        for stream, pair in state["recent"].items():
            before = merged["recent"].get(stream, [0.0, 0.0])
            merged["recent"][stream] = [a + b for a, b in zip(before, pair)]
        for stream, value in state["first"].items():
            merged["first"].setdefault(stream, value)
    return merged


def _plain(state: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.item() if isinstance(v, Tensor) else v for k, v in state.items()}


def _size(session: Session) -> str:
    weights = sum(p.numel() * p.element_size() for p in session.model.parameters())
    trained = sum(p.numel() * p.element_size() for p in session.model.parameters() if p.requires_grad)
    return f"about {(weights * (2 if session.ema else 1) + 2 * trained) / 2**20:.0f} MiB"
