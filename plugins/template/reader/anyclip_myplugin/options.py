"""Options of myreader (torch-free: `anyclip options` and `anyclip check` read them)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(kw_only=True)
class MyReaderOptions:
    path: str
    """The folder of the JSON files, relative to the config."""
