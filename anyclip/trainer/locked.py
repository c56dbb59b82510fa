"""Locked towers with `cache: true`: each value of the training data is encoded once, before the first step.

The table of a tower is `CACHE/vectors/KEY`, where the key digests its weights, its processor and the versions of what
computes them; a row is found by the content of its value. So a vector cannot be taken for another's, and later epochs
and runs compute nothing. Batches are made of the values in the order of the data, always of the same size, whatever the
number of processes: a table that is filled again for the same data holds the same bits.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from anyclip.checkpoint import RunFolder, load_tensors, write_text_atomic
from anyclip.checkpoint.folder import MODEL_FILE
from anyclip.config import Config
from anyclip.data import Source, StreamInfo
from anyclip.data.loading import open_sources
from anyclip.data.vectors import VectorProcessor, VectorTable
from anyclip.errors import UserError
from anyclip.model import JointModel, load_tower_state
from anyclip.objectives import Objectives, PairObjective
from anyclip.readers.paths import cache_folder
from anyclip.registry import get_registry
from anyclip.trainer.agree import on_main, shared, together
from anyclip.trainer.identity import processor_identity, versions_of, weights_digest
from anyclip.trainer.vectors import Filling, fill

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from anyclip.trainer.progress import Display

RECORD = "vectors.json"  # in the run folder: owner -> {key, segments} that the run began with


def cached_owners(config: Config) -> list[str]:
    """Streams that own a tower with `cache: true`."""
    return [stream for stream, tower in config.model.towers.items() if tower.cache and tower.name is not None]


def load_locked(model: JointModel, config: Config, checkpoint: Path | None) -> None:
    """Weights of the cached towers from the checkpoint of a run that goes on; the rest follows later."""
    owners = cached_owners(config)
    if checkpoint is None or not owners:
        return
    state = load_tensors(checkpoint / MODEL_FILE)
    for owner in owners:
        load_tower_state(model, owner, state, where=str(checkpoint / MODEL_FILE))


def locked_streams(
    model: JointModel,
    objectives: Objectives,
    config: Config,
    folder: RunFolder,
    fabric: Fabric,
    display: Display,
) -> dict[str, StreamInfo]:
    """stream -> StreamInfo for the training data, of every stream of a cached tower; fills the tables first.

    Every process calls this before the model is wrapped. Raises UserError for a tower that cannot be cached.
    """
    owners = cached_owners(config)
    found: dict[str, StreamInfo] = {}
    if not owners:
        return found
    sources = together(fabric, lambda: _sources(model, objectives, config, owners))
    record = shared(fabric, lambda: _read(folder.path / RECORD))
    for owner in owners:
        streams = [s for s in objectives.streams if model.tower_of[model.resolve(s)] == owner]
        if not streams:
            continue
        key = table_key(model, owner, config, device=fabric.device)
        text = get_registry().modality(model.modality(owner)).string_is_value
        place = cache_folder() / "vectors" / key
        first = record.get(owner, {}).get("segments", []) if record.get(owner, {}).get("key") == key else []
        filling = Filling(model, owner, streams, sources, place, first, text=text, workers=config.data.workers)
        segments = fill(filling, fabric, display)
        record[owner] = {"key": key, "segments": segments}
        table = VectorTable([place / name for name in segments])
        processor = VectorProcessor(table, model.tower(owner).width, text=text)
        found |= {s: StreamInfo(processor, model.modality(s)) for s in streams}
        model.cached.add(owner)
    on_main(fabric, lambda: write_text_atomic(folder.path / RECORD, json.dumps(record, indent=1) + "\n"))
    return found


def _sources(model: JointModel, objectives: Objectives, config: Config, owners: list[str]) -> list[Source]:
    for owner in owners:
        _check(model, objectives, owner)
    streams = {s: StreamInfo(model.processor(s), model.modality(s)) for s in objectives.streams}
    return open_sources(config.data.train, streams, extra=objectives.fields, base=config.base)


def table_key(model: JointModel, owner: str, config: Config, *, device: torch.device) -> str:
    """What decides the vectors of a tower: name, options, weights and buffers, processor, versions, kind of device."""
    tower = model.tower(owner)
    settings = config.model.towers[owner]
    assert settings.name is not None
    parts = {
        "tower": settings.name,
        "options": repr(sorted(settings.options.items())),
        "weights": weights_digest(tower),
        "processor": processor_identity(tower.processor),
        "versions": versions_of(get_registry().part("tower", settings.name).distribution),
        "device": device.type,
        "format": 1,
    }
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).hexdigest()


def _check(model: JointModel, objectives: Objectives, owner: str) -> None:
    """A cached tower is wholly frozen, draws nothing, and gives nothing but its pooled vectors."""
    where = f"model.towers.{owner}.cache"
    tower: nn.Module = model.tower(owner)
    if any(p.requires_grad for p in tower.parameters()):
        raise UserError("the tower learns, so its vectors cannot be kept.", where=where, hint="Set freeze: true.")
    if not model.processor(owner).deterministic:
        raise UserError(
            "the tower's processor draws an augmentation, so that no value has one vector.",
            where=where,
            hint="Switch it off in the tower's options; a plugin's processor says so with `deterministic`.",
        )
    for name, _, objective in objectives.terms:
        streams = [s for s in objective.streams if model.tower_of[model.resolve(s)] == owner]
        if not streams:
            continue
        asked = set(objective.needs) - {"embedding", "pooled"}
        asked |= {"layers"} if any(objective.depths.get(s) for s in streams) else set()
        if not objective.cacheable:
            asked.add("the tower itself")
        if asked:
            what = "its similarity" if isinstance(objective, PairObjective) else "it"
            raise UserError(
                f"the objective {name} cannot use stored vectors: {what} reads {', '.join(sorted(asked))}.",
                where=where,
                hint="Leave cache out, or choose another objective.",
            )


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
