"""Measurements that pages name run, on tiny sizes: that their numbers are right, not whether the goals are met."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
RUNS = {
    "accumulation": (["--pieces", "2", "--piece", "8", "--width", "16", "--repeats", "1"], "anyclip"),
    "audio": (["--rounds", "1", "--only", "decode"], '"fastest"'),
    "locked": (["--rows", "16", "--batch", "8"], "resume_exact                True"),
    "pointcloud": (["--points", "200", "--repeats", "1", "--large", "0"], "sampling: ours / common loop"),
}
NEEDS = {"audio": "librosa", "pointcloud": "open3d"}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_small_measurement(name: str):
    pytest.importorskip(NEEDS.get(name, "torch"), exc_type=ImportError)
    arguments, printed = RUNS[name]
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *arguments]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr  # 1: above its goal, which such sizes cannot tell
    assert "Traceback" not in done.stderr, done.stderr
    assert printed in done.stdout, done.stdout
