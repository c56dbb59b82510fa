"""Shared by the tests of the point-cloud plugin."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

if os.environ.get("ANYCLIP_WITHOUT_OPEN3D"):  # every test passes without it, too
    sys.modules["open3d"] = None  # type: ignore[assignment]

SHARED = Path(__file__).resolve().parents[4] / "shared"
BROKEN = SHARED / "data" / "broken"


@pytest.fixture
def without_open3d(monkeypatch):
    """As if open3d were not installed."""
    from anyclip_pointcloud import meshes

    monkeypatch.setitem(sys.modules, "open3d", None)
    meshes.open3d_problem.cache_clear()
    yield
    meshes.open3d_problem.cache_clear()


def expected_points() -> list[dict]:
    path = BROKEN / "expected.jsonl"
    if not path.is_file():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if row["kind"] == "points"]


def cloud(n: int = 200, seed: int = 0, columns: int = 3) -> np.ndarray:
    """Points on an ellipsoid, float32 [n, 3]; with 6 columns colours in 0..1 follow."""
    rng = np.random.Generator(np.random.Philox(seed))
    points = rng.standard_normal((n, 3))
    points *= np.array([1.0, 0.6, 0.3]) / np.linalg.norm(points, axis=1, keepdims=True)
    if columns == 6:
        points = np.concatenate([points, rng.random((n, 3))], axis=1)
    return points.astype(np.float32)
