"""Prepare five small real data sets from public Debian packages: pictures, speech, sounds, videos, point clouds.

`python examples/real_five/prepare.py OUT` downloads about 400 MB with apt (nothing is installed), unpacks it into a
cache and writes OUT/{tuxpaint,instruments,clips,furniture3d}/manifest.jsonl with the files beside it: a few minutes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import clips
import furniture
import instruments
import tuxpaint

SETS = {
    "tuxpaint": tuxpaint.prepare,
    "clips": clips.prepare,
    "furniture3d": furniture.prepare,
    "instruments": instruments.prepare,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS), help="some of the sets")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "anyclip-packages")
    chosen = parser.parse_args()
    for name in chosen.only:
        SETS[name](chosen.out / name, chosen.cache)


if __name__ == "__main__":
    main()
