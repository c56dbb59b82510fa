"""Checks between the values of a config, and of names against the registry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from anyclip.config.check_cache import check_cache
from anyclip.config.check_data import check_data
from anyclip.config.check_model import check_model, check_use_of_towers
from anyclip.config.check_objectives import check_objectives
from anyclip.config.check_training import check_evaluations, check_training
from anyclip.config.checking import Checking
from anyclip.config.messages import Issue
from anyclip.config.schema import Config
from anyclip.registry import get_registry


def check_config(config: Config, given: dict[str, Any]) -> list[Issue]:
    """Every issue between values. `given`: the plain values as written, to tell a default from a choice."""
    checking = Checking(config, given, get_registry())
    links = check_model(checking)
    used = check_objectives(checking)
    check_use_of_towers(checking, used, links)
    check_cache(checking)
    check_evaluations(checking)
    check_data(checking)
    check_training(checking)
    return checking.issues


def training_issues(config: Config) -> Iterator[Issue]:
    """What a training run needs and the config lacks."""
    if not config.data.train:
        yield Issue(("data", "train"), "is empty: a run needs at least one dataset.")
    if not config.objectives:
        yield Issue(("objectives",), "is empty: a run needs at least one objective.")
    if config.train.steps is None and config.train.epochs is None:
        yield Issue(("train",), "needs steps or epochs.")
