"""Matrix products of the tiled losses: in the dtype of the embeddings, or of bfloat16 factors with float32 sums."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_run_dtype: torch.dtype | None = None  # set by `products_in`


@contextmanager
def products_in(dtype: torch.dtype | None) -> Iterator[None]:
    """Inside the block, `tile_dtype: auto` means this dtype (None: that of the embeddings)."""
    global _run_dtype
    before, _run_dtype = _run_dtype, dtype
    try:
        yield
    finally:
        _run_dtype = before


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """The dtype of matrix products where autocast is on."""
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None


class Products:
    """Products of tiles. Only float32 embeddings can have bfloat16 factors; the result is float32 in any case.

    On the CPU the library rounds the factors inside (where the processor has such instructions; elsewhere the products
    stay float32); other devices get rounded copies.
    """

    def __init__(self, like: Tensor, tile_dtype: str):
        wanted = {"auto": _run_dtype, "float32": None, "bfloat16": torch.bfloat16}[tile_dtype]
        low = wanted == torch.bfloat16 and like.dtype == torch.float32
        self.inside = low and like.device.type == "cpu"
        self.copies = low and not self.inside

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around all products of one call."""
        if not self.inside:
            yield
        elif settings := getattr(torch.backends.mkldnn, "matmul", None):  # torch >= 2.9
            before = settings.fp32_precision
            settings.fp32_precision = "bf16"
            try:
                yield
            finally:
                settings.fp32_precision = before
        else:
            before = torch.get_float32_matmul_precision()
            torch.set_float32_matmul_precision("medium")
            try:
                yield
            finally:
                torch.set_float32_matmul_precision(before)

    def factor(self, x: Tensor) -> Tensor:
        """An embedding matrix as it enters the products."""
        return x.bfloat16() if self.copies else x

    def scores(self, x: Tensor, y: Tensor, scale: float, out: Tensor) -> Tensor:
        """scale * x y^T, [R, D] x [C, D] -> out [R, C]."""
        if self.copies:
            return out.copy_(torch.mm(x, y.T, out_dtype=torch.float32)).mul_(scale)
        return torch.addmm(out, x, y.T, beta=0, alpha=scale, out=out)

    def add(self, total: Tensor, weights: Tensor, y: Tensor, factor: float) -> None:
        """total [R, D] += factor * weights [R, C] @ y [C, D]."""
        if self.copies:
            total.add_(torch.mm(weights.bfloat16(), y, out_dtype=torch.float32), alpha=factor)
        else:
            total.addmm_(weights, y, alpha=factor)
