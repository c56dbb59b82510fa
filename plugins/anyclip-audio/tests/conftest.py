"""Shared by the tests of the audio plugin. Nothing here reaches a hub."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

os.environ["HF_HUB_OFFLINE"] = "1"

SHARED = Path(__file__).resolve().parents[4] / "shared"
BROKEN = SHARED / "data" / "broken"


@pytest.fixture(autouse=True)
def _one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def broken() -> Path:
    """The shared folder of odd and broken inputs."""
    if not BROKEN.is_dir():
        pytest.skip(f"the shared test data is not there: {BROKEN}")
    return BROKEN


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
