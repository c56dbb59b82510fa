"""Point-cloud towers against recorded values: which module compares which file of the reference folder."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from parity_report import Line

MODULES = {
    "pointclip": "parity_pointcloud_views",
    "pointclip_v2": "parity_pointcloud_views",
    "clip2point": "parity_pointcloud_views",
    "ulip": "parity_pointcloud_points",
    "uni3d": "parity_pointcloud_points",
}


def run(path: Path, data: Mapping[str, Any]) -> Iterator[Line]:
    """The lines of one reference file. A file that recorded no output is left out."""
    if not data.get("outputs"):
        yield Line(path.stem, "", (), "left", "the file holds facts only, nothing was recorded")
    elif path.stem not in MODULES:
        yield Line(path.stem, "", (), "FAIL", "not implemented, and not left out with a reason")
    else:
        yield from importlib.import_module(MODULES[path.stem]).run(path, data)
