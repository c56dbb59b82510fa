"""Options of the faulty readers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(kw_only=True)
class Options:
    path: str
    """A text file, a row per line."""
