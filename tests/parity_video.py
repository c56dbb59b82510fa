"""Parity of the video systems: `run` yields the lines of one reference file."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from parity_report import Line

SYSTEMS = {
    "clip4clip": "parity_video_clip4clip",
    "xclip_retrieval": "parity_video_clip4clip",
    "xclip_microsoft": "parity_video_microsoft",
    "videoclip_mmpt": "parity_video_videoclip",
}
LEFT_OUT = {
    "imagebind": "the towers of ImageBind are not part of this project",
    "languagebind": "the file holds facts, no values",
}


def run(path: Path, data: dict[str, Any]) -> Iterator[Line]:
    """The lines of one file; one that is neither run nor left out fails."""
    if path.stem in LEFT_OUT:
        yield Line(path.stem, "", (), "left", LEFT_OUT[path.stem])
    elif path.stem in SYSTEMS:
        yield from import_module(SYSTEMS[path.stem]).run(path, data)
    else:
        yield Line(path.stem, "", (), "FAIL", "not implemented, and not left out with a reason")
