"""A few rows that myreader reads: `anyclip conformance` and the tests write them into a temporary folder."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any


def write(folder: Path, rows: int = 32) -> dict[str, Any]:
    """JSON files with two vectors and a label; returns the options that read them."""
    draw = random.Random(0)
    place = folder / "rows"
    place.mkdir(parents=True, exist_ok=True)
    for row in range(rows):
        left = [draw.gauss(0, 1) for _ in range(16)]
        right = [x + draw.gauss(0, 0.3) for x in reversed(left)]
        (place / f"{row:04d}.json").write_text(json.dumps({"left": left, "right": right, "label": row % 4}))
    return {"path": str(place)}
