"""Several windows of one video: towers encode them as clips of their own, and average."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from anyclip.towers import wrapping


def flat_windows(inputs: Any) -> tuple[Tensor, Tensor, Tensor | None]:
    """Inputs of `VideoProcessor.collate` -> frames [C, T, 3, H, W], mask [C, T], windows bool [B, N] or None.

    C clips: the rows, or with several windows a row the windows that are there, in row order.
    """
    frames, mask, windows = inputs["frames"], inputs["mask"], inputs.get("windows")
    return (frames, mask, None) if windows is None else (frames[windows], mask[windows], windows)


def mean_of_windows(pooled: Tensor, windows: Tensor | None) -> Tensor:
    """[C, W] of the clips -> [B, W]: the mean over each row's windows; unchanged without windows."""
    return pooled if windows is None else wrapping.mean_of_windows(pooled, windows)
