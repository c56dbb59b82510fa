"""Several windows of one video: towers encode them as clips of their own, and average."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def flat_windows(inputs: Any) -> tuple[Tensor, Tensor, Tensor | None]:
    """Inputs of `VideoProcessor.collate` -> frames [C, T, 3, H, W], mask [C, T], windows bool [B, N] or None.

    C clips: the rows, or with several windows a row the windows that are there, in row order.
    """
    frames, mask, windows = inputs["frames"], inputs["mask"], inputs.get("windows")
    return (frames, mask, None) if windows is None else (frames[windows], mask[windows], windows)


def mean_of_windows(pooled: Tensor, windows: Tensor | None) -> Tensor:
    """[C, W] of the clips -> [B, W]: the mean over each row's windows; unchanged without windows."""
    if windows is None:
        return pooled
    rows = windows.nonzero()[:, 0]
    sums = pooled.new_zeros(len(windows), pooled.shape[1]).index_add(0, rows, pooled)
    return sums / windows.sum(dim=1, keepdim=True).to(pooled.dtype)
