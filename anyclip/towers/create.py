"""Build a tower by its registry name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anyclip.registry import get_registry
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
