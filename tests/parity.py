"""Compare this code with recorded numbers of published systems, case by case.

`python tests/parity.py FOLDER...`: any folder of JSON files with `cases` (see the README beside them). A line per case
names the largest difference as a share of what is tolerated. Exit code 1 for a difference beyond its tolerance and for
a file that is neither implemented nor left out with a reason; 2 for a folder that holds nothing to compare.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import parity_losses
import torch
from parity_report import Line

from anyclip.testing.reference import Case, Function, cases, compare

# Folders of reference files of towers, and the plugin that has them. `run(path, data)` of tests/parity_FOLDER.py yields
# the lines of one file.
PLUGIN_OF = {"audio": "anyclip-audio", "video": "anyclip-video", "pointcloud": "anyclip-pointcloud"}


def parity(folder: Path) -> Iterator[Line]:
    """Every line of a folder; a file that holds no cases (texts, measurements) has none."""
    for path in sorted(folder.glob("*.json")):
        data = json.loads(path.read_text())
        if folder.name in PLUGIN_OF:
            yield from tower_lines(folder.name, path, data)
        elif "cases" in data and ("differentiable" in json.dumps(data["cases"][:1])):
            yield from loss_lines(folder, path.stem)


def tower_lines(modality: str, path: Path, data: dict[str, Any]) -> Iterator[Line]:
    """A file that lists tensors must be run or left out; the plugin must be installed."""
    if importlib.util.find_spec(f"parity_{modality}") is None:
        yield Line(path.stem, "", (), "FAIL", f"not implemented: plugin {PLUGIN_OF[modality]}")
        return
    yield from importlib.import_module(f"parity_{modality}").run(path, data)


def loss_lines(folder: Path, objective: str) -> Iterator[Line]:
    if objective in parity_losses.LEFT_OUT:
        yield Line(objective, "", (), "left", parity_losses.LEFT_OUT[objective])
        return
    if objective not in parity_losses.ADAPTERS:
        yield Line(objective, "", (), "FAIL", "not implemented, and not left out with a reason")
        return
    for case in cases(folder, objective):
        for dtype in (torch.float64, torch.float32):
            yield loss_line(case, parity_losses.function_of(objective), dtype)


def loss_line(case: Case, function: Function, dtype: torch.dtype) -> Line:
    name = str(dtype).removeprefix("torch.")
    try:
        found = compare(case, function, dtype)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        return Line(str(case), name, (), "FAIL", reason)
    passed = all(d.share <= 1 for d in found)
    return Line(str(case), name, found, "pass" if passed else "FAIL")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compare with recorded numbers of published systems.")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="folder of reference files")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    lines: list[Line] = []
    for folder in chosen.folders:
        if not folder.is_dir():
            print(f"{folder}: no such folder", file=sys.stderr)
            return 2
        for line in parity(folder):
            print(line, flush=True)
            lines.append(line)
    failed = sum(line.status == "FAIL" for line in lines)
    compared = len({line.case for line in lines if line.differences})
    left = sum(line.status == "left" for line in lines)
    print(
        f"{compared} cases compared in {sum(bool(x.differences) for x in lines)} runs, {failed} failed, {left} left out"
    )
    return 2 if not lines else int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
