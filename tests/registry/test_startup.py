"""Listing plugins is quick and loads nothing heavy."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "open3d", "librosa", "decord", "numpy", "pyarrow", "pydantic", "lightning_fabric"}
SCRIPT = """
import json, resource, sys
from anyclip.cli.main import run
code = run(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
names = [name for name in sys.modules if "." not in name]
print(json.dumps([code, used.ru_utime + used.ru_stime, names]), file=sys.stderr)
"""


def measure(*arguments: str) -> tuple[int, float, set[str]]:
    done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, env=os.environ)
    code, seconds, modules = json.loads(done.stderr.splitlines()[-1])
    return code, seconds, set(modules)


@pytest.mark.parametrize("arguments", [["plugins"], ["--help"], ["plugins", "--json"], ["plugins", "--help"]])
def test_no_heavy_module(arguments):
    code, _, modules = measure(*arguments)
    assert code == 0
    assert not modules & HEAVY


def test_cpu_seconds():
    seconds = min(measure("plugins")[1] for _ in range(3))
    assert seconds < 0.5
