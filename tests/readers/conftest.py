"""What the reader tests share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

BROKEN = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "broken"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch) -> Path:
    """Indexes and copies of a test go to a folder of its own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("ANYCLIP_CACHE", str(folder))
    return folder


@pytest.fixture
def broken() -> Path:
    """The shared folder of odd and broken inputs."""
    if not BROKEN.is_dir():
        pytest.skip(f"the shared test data is not there: {BROKEN}")
    return BROKEN


@pytest.fixture
def expected(broken) -> dict[str, str]:
    """`manifest/good.jsonl` -> what a loader should do."""
    rows = map(json.loads, (broken / "expected.jsonl").read_text().splitlines())
    return {row["file"]: row["expect"] for row in rows}
