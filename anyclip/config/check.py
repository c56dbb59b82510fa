"""Checks between the values of a config, and of names against the registry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from anyclip.config.messages import Issue
from anyclip.config.schema import Config


def check_config(config: Config, given: dict[str, Any]) -> Iterator[Issue]:
    """Every issue between values. `given`: the plain values as written, to tell a default from a choice."""
    yield from ()


def training_issues(config: Config) -> Iterator[Issue]:
    """What a training run needs and the config lacks."""
    if not config.data.train:
        yield Issue(("data", "train"), "is empty: a run needs at least one dataset.")
    if not config.objectives:
        yield Issue(("objectives",), "is empty: a run needs at least one objective.")
    if config.train.steps is None and config.train.epochs is None:
        yield Issue(("train",), "give steps or epochs.")
