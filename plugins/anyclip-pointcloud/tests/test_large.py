"""Ten million points in one file: bounded memory and time, measured as the benchmark does, in a fresh process."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[3] / "benchmarks" / "pointcloud.py"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize("suffix", ["ply", "pcd"])
def test_ten_million_points(tmp_path, suffix):
    if not BENCHMARK.is_file():
        pytest.skip(f"the benchmark is not there: {BENCHMARK}")
    spec = importlib.util.spec_from_file_location("pointcloud_benchmark", BENCHMARK)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    path = tmp_path / f"large.{suffix}"
    {"ply": benchmark.write_ply, "pcd": benchmark.write_pcd}[suffix](path, 10_000_000)
    assert path.stat().st_size > 140e6
    command = [sys.executable, str(BENCHMARK), "--measure-large", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert 5 < found["MB"] < 120  # less than the file
    assert found["s"] < 5
