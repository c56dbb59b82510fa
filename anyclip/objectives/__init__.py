"""Objectives: the weighted terms of the training loss. Options are read without torch: classes come when asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anyclip.objectives.base import Objective, Pair, Side, StepContext
    from anyclip.objectives.build import Objectives, build_objectives
    from anyclip.objectives.edge import PairObjective
    from anyclip.objectives.term import EdgeTerm

__all__ = [
    "EdgeTerm",
    "Objective",
    "Objectives",
    "Pair",
    "PairObjective",
    "Side",
    "StepContext",
    "build_objectives",
]
_WHERE = {
    "base": ("Objective", "Pair", "Side", "StepContext"),
    "build": ("Objectives", "build_objectives"),
    "edge": ("PairObjective",),
    "term": ("EdgeTerm",),
}


def __getattr__(name: str) -> Any:
    for module, names in _WHERE.items():
        if name in names:
            return getattr(import_module(f"anyclip.objectives.{module}"), name)
    raise AttributeError(name)
