"""Build a JointModel from its config: towers in dependency order, deterministic first weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from anyclip.config.schema import ModelConfig, TowerConfig
from anyclip.errors import UserError, did_you_mean
from anyclip.model.checkpointing import checkpoint_activations
from anyclip.model.freezing import freeze
from anyclip.model.joint import JointModel
from anyclip.model.lora import add_lora
from anyclip.projections import build_projection
from anyclip.specs import TowerRef
from anyclip.towers import Tower, create_tower


def build_model(
    config: ModelConfig, *, assets: Path | None = None, load_weights: bool = True, seed: int = 0
) -> JointModel:
    """Build every tower and projection.

    assets: folder with a sub-folder per tower, as `JointModel.save_assets` wrote it. load_weights: False when a
    checkpoint follows. seed: first weights are a function of (seed, stream), whatever other streams there are.
    Raises UserError for references that are unknown or circular, and for widths or freeze expressions that do not fit.
    """
    owners = {stream: _owner(config.towers, stream) for stream in config.towers}
    towers: dict[str, Tower] = {}
    for stream in _in_order(config.towers, owners):
        tower = config.towers[stream]
        folder = assets / stream if assets is not None and (assets / stream).is_dir() else None
        refs = {name: towers[owners[name]] for name in _refs(tower.options)}
        with seeded(f"{seed}/towers/{stream}"):
            assert tower.name is not None
            towers[stream] = create_tower(
                tower.name, refs=refs, assets=folder, load_weights=load_weights, **tower.options
            )
    projections, projection_of = _projections(config, owners, towers, seed)
    _refuse_reserved([*towers, *projections])
    model = JointModel(config.dim, towers, projections, tower_of=owners, projection_of=projection_of)
    for stream, settings in config.towers.items():
        where = f"model.towers.{stream}.freeze"
        freeze(model.tower(stream), settings.freeze, where=where)
        if settings.lora is not None:
            with seeded(f"{seed}/lora/{stream}"):
                add_lora(model.tower(stream), settings.lora, where=f"model.towers.{stream}.lora")
        freeze(model.projection(stream), settings.freeze_projection)
        if settings.checkpointing:
            checkpoint_activations(model.tower(stream))
    return model.train()


@contextmanager
def seeded(key: str) -> Iterator[None]:
    """Torch's random numbers become a function of `key` inside the block; the state outside is untouched."""
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int.from_bytes(digest, "big") >> 1)
        yield


def _projections(
    config: ModelConfig, owners: Mapping[str, str], towers: Mapping[str, Tower], seed: int
) -> tuple[dict[str, nn.Module], dict[str, str]]:
    built: dict[str, nn.Module] = {}
    owner_of: dict[str, str] = {}
    for stream, settings in config.towers.items():
        source = stream
        while config.towers[source].share_projection:
            ref = config.towers[source].ref
            if ref is None:
                raise UserError("share_projection needs ref.", where=f"model.towers.{source}.share_projection")
            source = ref
        owner_of[stream] = source
        if source == stream:
            with seeded(f"{seed}/projections/{stream}"):
                built[stream] = build_projection(
                    settings.projection, towers[owners[stream]].width, config.dim, stream=stream
                )
    return built, owner_of


def _owner(towers: Mapping[str, TowerConfig], stream: str) -> str:
    """Follow `ref` from stream to stream until one names a tower."""
    seen = [stream]
    while (ref := towers[seen[-1]].ref) is not None:
        where = f"model.towers.{seen[-1]}.ref"
        if ref not in towers:
            raise UserError(f"there is no stream {ref!r}.", where=where, hint=did_you_mean(ref, towers, noun="Streams"))
        if ref in seen:
            raise UserError(f"{' -> '.join([*seen, ref])} refer to each other.", where=where)
        seen.append(ref)
    if towers[seen[-1]].name is None:
        raise UserError("needs name or ref.", where=f"model.towers.{seen[-1]}", next="anyclip plugins")
    return seen[-1]


def _in_order(towers: Mapping[str, TowerConfig], owners: Mapping[str, str]) -> list[str]:
    """Streams that own a tower, each after those its options refer to."""
    ordered: list[str] = []

    def visit(stream: str, path: tuple[str, ...]) -> None:
        if stream in path:
            raise UserError(
                f"{' -> '.join([*path, stream])} refer to each other.", where=f"model.towers.{stream}.options"
            )
        if stream in ordered:
            return
        for ref in _refs(towers[stream].options):
            if ref not in towers:
                raise UserError(
                    f"there is no stream {ref!r}.",
                    where=f"model.towers.{stream}.options",
                    hint=did_you_mean(ref, towers, noun="Streams"),
                )
            visit(owners[ref], (*path, stream))
        ordered.append(stream)

    for stream in dict.fromkeys(owners.values()):
        visit(stream, ())
    return ordered


def _refs(options: Any) -> list[str]:
    """Streams named by `{ref: STREAM}` anywhere inside options."""
    if isinstance(options, TowerRef):
        return [options.ref]
    if isinstance(options, Mapping):
        if set(options) == {"ref"} and isinstance(options["ref"], str):
            return [options["ref"]]
        return [ref for value in options.values() for ref in _refs(value)]
    if isinstance(options, (list, tuple)):
        return [ref for value in options for ref in _refs(value)]
    return []


def _refuse_reserved(names: list[str]) -> None:
    for name in names:
        if "." in name or "#" in name or not name or hasattr(nn.ModuleDict, name):
            raise UserError(
                f"{name!r} cannot be the name of a stream.", where="model.towers", hint="Choose another name."
            )
