"""Shared by the tests of the audio plugin."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np

SHARED = Path(__file__).resolve().parents[4] / "shared"
BROKEN = SHARED / "data" / "broken"


def expected_sounds() -> list[dict]:
    path = BROKEN / "expected.jsonl"
    if not path.is_file():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if row["kind"] == "audio"]


def clip(seconds: float = 1.0, rate: int = 16_000, seed: int = 0) -> np.ndarray:
    """A few sines and some hiss, float32 [T] within -1..1."""
    rng = np.random.Generator(np.random.Philox(seed))
    time = np.arange(round(seconds * rate)) / rate
    tones = sum(0.2 * np.sin(2 * np.pi * f * time + p) for f, p in zip(rng.uniform(80, 3000, 3), rng.uniform(0, 6, 3)))
    return (tones + 0.02 * rng.standard_normal(len(time))).astype(np.float32)


def encoded(samples: np.ndarray, rate: int = 16_000, kind: str = "WAV", **more) -> bytes:
    """A sound file in memory; samples [T] or [T, C]."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, **more)
    return buffer.getvalue()
