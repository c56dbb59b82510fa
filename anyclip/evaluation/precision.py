"""How exactly float32 matrices are multiplied."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def matmul_precision(name: str) -> Iterator[None]:
    """float32 matmuls at `highest`, `high` (TF32) or `medium` (bf16) inside, whatever the process allows outside."""
    before = torch.get_float32_matmul_precision()
    if before == name:
        yield
        return
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def fast_precision(device: torch.device) -> str | None:
    """The precision at which the device multiplies several times faster than in float32; None when there is none."""
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return "medium" if capabilities.get("amx_bf16") and torch.backends.mkldnn.is_available() else None
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0) and torch.version.cuda:
        return "high"
    return None
