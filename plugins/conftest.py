"""Shared by the tests of every plugin. The template is no package of its own: its tests run in the copies that
`anyclip new-plugin` makes.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # nothing reaches a hub

collect_ignore = ["template"]
BROKEN = Path(__file__).resolve().parents[2] / "shared" / "data" / "broken"


@pytest.fixture(autouse=True)
def _one_thread():
    """The same numbers on every machine: one thread, one seed."""
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
