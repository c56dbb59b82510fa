"""Shared by the tests of the image plugin."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

BROKEN = Path(__file__).resolve().parents[4] / "shared" / "data" / "broken"


def expected_images() -> list[dict]:
    path = BROKEN / "expected.jsonl"
    if not path.is_file():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if row["kind"] == "image"]


def photo(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """A smooth random picture with some grain, uint8 [H, W, 3]."""
    from PIL import Image

    rng = np.random.Generator(np.random.Philox(seed))
    coarse = rng.integers(0, 256, (max(2, height // 8), max(2, width // 8), 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return np.clip(smooth + rng.integers(-12, 13, smooth.shape), 0, 255).astype(np.uint8)
