"""What is installed and what the machine has, for `anyclip doctor`."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

from anyclip.registry import get_registry

_PACKAGES = ("torch", "lightning-fabric", "numpy", "safetensors", "pluggy", "pydantic")
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")


def facts() -> dict[str, Any]:
    """`versions`, `machine` (name -> value) and `problems` of plugins."""
    rows = get_registry().rows
    versions = {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}
    versions |= {row.distribution: row.version for row in rows}
    problems = [f"{row.distribution}: {problem}" for row in rows for problem in row.problems]
    return {"versions": versions, "machine": _machine(), "problems": problems}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _machine() -> dict[str, str]:
    import torch
    import torch.distributed as dist

    from anyclip.data.workers import start_context

    backends = [name for name in ("gloo", "nccl", "mpi") if dist.is_available() and dist.is_backend_available(name)]
    found = {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": f"{_cores()} usable of {os.cpu_count()}",
        "threads": f"{torch.get_num_threads()} for computing, {torch.get_num_interop_threads()} between operations",
        "memory": _memory(),
        "devices": ", ".join(_devices(torch)),
        "backends": ", ".join(backends) or "none: one process only",
        "workers start by": start_context().get_start_method(),
    }
    return found | {name: os.environ[name] for name in _VARIABLES if name in os.environ}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB"
    except (ValueError, OSError, AttributeError):
        return "unknown"


def _devices(torch: Any) -> list[str]:
    found = [
        f"cuda:{i} {p.name} {p.total_memory / 2**30:.0f} GiB"
        for i in range(torch.cuda.device_count())
        for p in [torch.cuda.get_device_properties(i)]
    ]
    return found + (["mps"] if torch.backends.mps.is_available() else []) or ["cpu only"]
