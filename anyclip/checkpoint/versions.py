"""What a run was made with: `versions.json`."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from anyclip.registry import get_registry

_LIBRARIES = ("torch", "lightning-fabric", "numpy", "safetensors")


def current_versions() -> dict[str, str]:
    """Versions of Python, the core, its numeric libraries and every plugin that is installed."""
    found = {"python": platform.python_version()}
    for name in ("anyclip", *_LIBRARIES, *sorted({row.distribution for row in get_registry().rows})):
        if name in found:
            continue
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found


def changed_versions(path: Path) -> list[str]:
    """`name: then -> now` for everything in a versions.json that is different now."""
    if not path.is_file():
        return []
    then, now = json.loads(path.read_text()), current_versions()
    return [f"{name}: {then[name]} -> {now.get(name, 'not installed')}" for name in then if then[name] != now.get(name)]
