"""Build a tower by its registry name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anyclip.errors import UserError, did_you_mean
from anyclip.registry import get_registry
from anyclip.specs import TowerPart
from anyclip.towers.base import Tower


def create_tower(
    name: str,
    *,
    refs: Mapping[str, Tower] | None = None,
    assets: Path | None = None,
    load_weights: bool = True,
    **options: Any,
) -> Tower:
    """A registered tower with its processor: `create_tower("audio/htsat", size="tiny")`.

    Raises PluginError for an unknown name and ConfigError for an option that is unknown or out of range.
    """
    registry = get_registry()
    built = registry.build_options("tower", name, options)
    tower = registry.load("tower", name).from_options(built, refs=refs, assets=assets, load_weights=load_weights)
    tower.modality = registry.spec("tower", name).modality  # type: ignore[attr-defined]
    return tower


def create_inner_tower(
    option: TowerPart,
    *,
    at: str,
    refs: Mapping[str, Tower] | None = None,
    assets: Path | None = None,
    load_weights: bool = True,
) -> Tower:
    """The tower that an option of another tower names: another stream's, or one of its own.

    at: the option's name; the files of an own tower lie in that sub-folder of `assets`. refs, assets, load_weights: as
    `Tower.from_options` got them. Raises UserError for a reference that is not among `refs`.
    """
    if option.ref is not None:
        if option.ref not in (refs or {}):
            hint = did_you_mean(option.ref, refs or {}, noun="Streams")
            raise UserError(f"{at}: there is no stream {option.ref!r}.", hint=hint)
        return (refs or {})[option.ref]
    assert option.name is not None
    folder = None if assets is None or not (Path(assets) / at).is_dir() else Path(assets) / at
    return create_tower(option.name, refs=refs, assets=folder, load_weights=load_weights, **option.options)
