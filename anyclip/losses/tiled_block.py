"""A block of scores, own rows against all columns, walked tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from anyclip.losses.tiled_products import Products

PAIRS = 256  # rows at a time where only the pairs' own scores are wanted


@dataclass(frozen=True)
class Tiles:
    """How a block is cut, and how its products are made.

    rows, cols: shape of a tile. together: several processes hold the rows, so that columns are added up over them.
    """

    rows: int
    cols: int
    products: Products
    together: bool = False


class Block:
    """Scores scale * x y^T of own rows x [n, D] with all columns y [N, D], where row i pairs with column start + i.

    Holds one tile (two with `spare`), never the block; x and y are given with each call so that nothing keeps them.
    """

    def __init__(self, start: int, scale: float, tiles: Tiles):
        self.start, self.scale, self.tiles = start, scale, tiles

    def buffers(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Two flat buffers for a tile each; x and y as they came, not as factors."""
        size = min(self.tiles.rows, len(x)) * min(self.tiles.cols, len(y))
        return x.new_empty(size), x.new_empty(size)

    def factors(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """x and y as they enter the products."""
        return self.tiles.products.factor(x), self.tiles.products.factor(y)

    def walk(self, x: Tensor, y: Tensor, buffer: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
        """(rows, columns, their scores in the buffer) of each tile; consume inside `products.running()`."""
        products, scale = self.tiles.products, self.scale
        for rows in spans(len(x), self.tiles.rows):
            own = x[rows]
            for cols in spans(len(y), self.tiles.cols):
                out = view(buffer, rows, cols)
                yield rows, cols, products.scores(own, y[cols], scale, out)

    def fill_pairs(self, tile: Tensor, rows: slice, cols: slice, value: float) -> None:
        """Overwrite the pairs' own scores, where the tile holds any."""
        offset = self.start + rows.start - cols.start
        if -tile.shape[0] < offset < tile.shape[1]:
            tile.diagonal(offset).fill_(value)

    def pairs(self, x: Tensor, y: Tensor) -> Tensor:
        """The pairs' own scores [n], from the same kind of product as the tiles."""
        found = torch.empty(len(x), dtype=vector_dtype(x), device=x.device)
        buffer = x.new_empty(PAIRS * PAIRS)
        fx, fy = self.factors(x, y[self.start : self.start + len(x)])
        for rows in spans(len(x), PAIRS):
            out = view(buffer, rows, rows)
            found[rows] = self.tiles.products.scores(fx[rows], fy[rows], self.scale, out).diagonal()
        return found

    def bound(self, x: Tensor, y: Tensor) -> float:
        """No score is larger than this in size; 1 % more than Cauchy-Schwarz, for rounded factors."""
        if not len(x):
            return 0.0
        longest = [torch.linalg.vector_norm(side, dim=1).max() for side in (x, y)]
        return 1.01 * abs(self.scale) * float(longest[0] * longest[1])


def spans(n: int, size: int) -> Iterator[slice]:
    return (slice(i, min(i + size, n)) for i in range(0, n, size))


def view(buffer: Tensor, rows: slice, cols: slice) -> Tensor:
    shape = rows.stop - rows.start, cols.stop - cols.start
    return buffer[: shape[0] * shape[1]].view(shape)


def vector_dtype(x: Tensor) -> torch.dtype:
    """Sums over a row or column are kept in float64 where the device has it."""
    return torch.float32 if x.device.type == "mps" else torch.float64


def inner(x: Tensor, y: Tensor, rows: int) -> Tensor:
    """sum x * y, without a temporary of their size."""
    total = torch.zeros((), dtype=vector_dtype(x), device=x.device)
    for span in spans(len(x), rows):
        total += (x[span] * y[span]).sum(dtype=total.dtype)
    return total


def only_once() -> None:
    """Called in a backward pass: raises RuntimeError where autograd wants to differentiate the gradient again."""
    if torch.is_grad_enabled():
        raise RuntimeError("a tiled loss has no second derivatives (create_graph=True); use its option tile: none")
