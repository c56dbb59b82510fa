"""Objectives: the weighted terms of the training loss."""

from anyclip.objectives.base import Objective, Pair, Side, StepContext
from anyclip.objectives.build import Objectives, build_objectives
from anyclip.objectives.edge import PairObjective
from anyclip.objectives.term import EdgeTerm

__all__ = ["EdgeTerm", "Objective", "Objectives", "Pair", "PairObjective", "Side", "StepContext", "build_objectives"]
