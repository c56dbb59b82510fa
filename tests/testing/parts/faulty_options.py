"""Options of the faulty towers and losses (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(kw_only=True)
class Options:
    width: int = 6
    """Width of the output."""


@dataclass(kw_only=True)
class Silent:
    width: int = 6


@dataclass(kw_only=True)
class Demanding:
    width: int
    """Width of the output."""


@dataclass
class Positional:
    width: int = 6
    """Width of the output."""
