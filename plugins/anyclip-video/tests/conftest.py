"""Shared by the tests of the video plugin."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[4] / "shared"
BROKEN = SHARED / "data" / "broken"
REAL = SHARED / "data" / "video_real"


@pytest.fixture
def broken(broken: Path) -> Path:
    """The shared folder of odd and broken videos."""
    return broken / "video"


@pytest.fixture
def real() -> Path:
    """The shared folder of real videos."""
    if not REAL.is_dir():
        pytest.skip(f"the shared test data is not there: {REAL}")
    return REAL


def expected_videos() -> list[dict]:
    path = BROKEN / "expected.jsonl"
    if not path.is_file():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if row["kind"] == "video"]


def numbered(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """uint8 [T, H, W, 3]; each frame shows its number in binary, as black and white columns under a moving ramp."""
    frames = np.empty((count, height, width, 3), dtype=np.uint8)
    for i in range(count):
        frames[i] = (np.arange(width)[None, :, None] * 3 + i * 5) % 200
        for bit in range(10):
            frames[i, : height // 2, bit * 6 : bit * 6 + 6] = 255 if i >> bit & 1 else 0
    return frames


def number_of(frame: np.ndarray) -> int:
    """The number that a frame of `numbered` shows."""
    return sum(1 << bit for bit in range(10) if frame[4:20, bit * 6 + 2 : bit * 6 + 4].mean() > 127)


@pytest.fixture(scope="session")
def long_video(tmp_path_factory) -> str:
    """An mp4 of 500 frames, 25 a second, a key frame every 60."""
    from anyclip_video.writing import write_video

    path = tmp_path_factory.mktemp("video") / "long.mp4"
    path.write_bytes(write_video(numbered(500), 25.0, keyframes=60))
    return str(path)
