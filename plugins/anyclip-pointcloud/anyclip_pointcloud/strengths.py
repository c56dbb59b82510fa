"""Strengths of the training augmentation: presets and what the options change of them (light: no numpy, no torch)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anyclip_pointcloud.options import PointOptions


@dataclass(frozen=True)
class Augment:
    """Resolved strengths; see `PointOptions` for their meaning. Angles in degrees."""

    rotate: float = 0.0
    tilt: float = 0.0
    jitter: float = 0.0
    drop: float = 0.0
    scale: float = 1.0
    shift: float = 0.0
    color_drop: float = 0.0


_PRESETS = {
    "none": Augment(),
    "light": Augment(rotate=180.0, jitter=0.01, scale=1.25),
    "strong": Augment(rotate=180.0, tilt=15.0, jitter=0.01, drop=0.5, scale=1.5, shift=0.1, color_drop=0.2),
}


def augment_from(options: PointOptions) -> Augment:
    """The preset with the fields that are given."""
    preset = _PRESETS[options.augment]
    given = {f.name: getattr(options, f.name) for f in fields(Augment)}
    return Augment(**{name: getattr(preset, name) if value is None else value for name, value in given.items()})
