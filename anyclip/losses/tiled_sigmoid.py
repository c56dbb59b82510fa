"""SigLIP tile by tile: value and gradients in one pass, three products where the score matrix needs as many.

Zhai et al. 2023, arXiv 2303.15343. A tile's sum of log(1 + e^L) and its weights sigmoid(L) are taken at once, so
nothing is kept for a backward pass. The pairs' own terms, log(1 + e^-L_ii) with weight -sigmoid(-L_ii), are added
outside.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from anyclip.losses.tiled_block import Block, Tiles, inner, only_once, vector_dtype, view

NO_OVERFLOW = 80.0  # e^80 is finite in float32
LINEAR = 40.0  # log(1 + e^40) is 40 in float64


def sigmoid_share(
    x: Tensor, y: Tensor, start: int, *, scale: Tensor | float, bias: Tensor | float | None, tiles: Tiles
) -> Tensor:
    """Own rows' part of the sum over all pairs, over N.

    x: own rows [n, D]. y: all columns [N, D]. Row i pairs with column start + i. No process waits for another.
    """
    scale = torch.as_tensor(scale, dtype=x.dtype, device=x.device)
    shift = torch.as_tensor(0.0 if bias is None else bias, dtype=x.dtype, device=x.device)
    return _apply(x, y, scale, shift, start, tiles, torch.is_grad_enabled())


class _Sigmoid(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, scale: Tensor, bias: Tensor, start: int, tiles: Tiles, learn: bool
    ) -> Tensor:
        ctx.save_for_backward(x, y)
        ctx.shapes = scale.shape, bias.shape
        ctx.sigmoid = Sigmoid(start, float(scale), float(bias), tiles)
        wanted = ctx.needs_input_grad[:4] if learn else (False,) * 4
        loss, ctx.made = ctx.sigmoid.run(x, y, *wanted)
        return loss.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        only_once()
        made, ctx.made = ctx.made, None  # given away, so that they can be scaled in place
        if made is None:  # a second backward through a retained graph
            made = ctx.sigmoid.run(*ctx.saved_tensors, *ctx.needs_input_grad[:4])[1]
        dx, dy, dscale, dbias = made
        factor = grad * ctx.sigmoid.scale
        dx = dx.mul_(factor) if ctx.needs_input_grad[0] else None
        dy = dy.mul_(factor) if ctx.needs_input_grad[1] else None
        scalars = [
            (d * grad).to(grad.dtype).reshape(shape) if needed else None
            for d, shape, needed in zip((dscale, dbias), ctx.shapes, ctx.needs_input_grad[2:4])
        ]
        return dx, dy, *scalars, None, None, None


_apply: Any = torch.compiler.disable(_Sigmoid.apply)  # loops over tiles are nothing to compile


class Sigmoid(Block):
    """The one pass."""

    def __init__(self, start: int, scale: float, bias: float, tiles: Tiles):
        super().__init__(start, scale, tiles)
        self.bias = bias

    def run(
        self, x: Tensor, y: Tensor, want_x: bool, want_y: bool, want_scale: bool, want_bias: bool
    ) -> tuple[Tensor, tuple[Tensor | None, Tensor | None, Tensor | None, Tensor]]:
        """The share of the loss; d / d(scaled x), / d(scaled y), / d(scale), / d(bias), each over N already."""
        want_x = want_x or (want_scale and not want_y)
        dx, dy = (torch.zeros_like(side) if want else None for side, want in ((x, want_x), (y, want_y)))
        with self.tiles.products.running():
            pair = self.pairs(x, y) + self.bias
            total, dbias = self._add_tiles(x, y, dx, dy, want_bias)
        total = total + torch.logaddexp(-pair, torch.zeros_like(pair)).sum()
        weights = -torch.sigmoid(-pair)
        own = slice(self.start, self.start + len(x))
        if dx is not None:
            dx.addcmul_(weights.to(x.dtype)[:, None], y[own], value=1 / len(y))
        if dy is not None:
            dy[own].addcmul_(weights.to(x.dtype)[:, None], x, value=1 / len(y))
        dscale = None
        if want_scale:
            dscale = inner(x, dx, self.tiles.rows) if dx is not None else inner(y, dy, self.tiles.rows)  # type: ignore[arg-type]
        return total / len(y), (dx, dy, dscale, (dbias + weights.sum()) / len(y))

    def _add_tiles(
        self, x: Tensor, y: Tensor, dx: Tensor | None, dy: Tensor | None, want_bias: bool
    ) -> tuple[Tensor, Tensor]:
        """Sums over all but the pairs of log(1 + e^L), and of sigmoid(L) where it is wanted; gradients are added."""
        products, (fx, fy) = self.tiles.products, self.factors(x, y)
        buffer, spare = self.buffers(x, y)
        bound = self.bound(x, y)
        small, floor = bound + self.bias < NO_OVERFLOW, torch.finfo(x.dtype).tiny * 1e8
        tiny = -bound + self.bias < math.log(floor)
        total, slope = (torch.zeros((), dtype=vector_dtype(x), device=x.device) for _ in range(2))
        for rows, cols, tile in self.walk(fx, fy, buffer):
            if self.bias:
                tile.add_(self.bias)
            self.fill_pairs(tile, rows, cols, -math.inf)
            other = view(spare, rows, cols)
            if small:  # the same as softplus, which is slower
                torch.exp(tile, out=other).log1p_()
            else:
                torch.ops.aten.softplus.out(tile, 1, LINEAR, out=other)
            total += other.sum()
            if dx is None and dy is None and not want_bias:
                continue
            tile.sigmoid_()
            if want_bias:
                slope += tile.sum()
            if tiny:  # denormal numbers slow down the products
                tile.clamp_(min=floor)
            if dx is not None:
                products.add(dx[rows], tile, fy[cols], 1 / len(y))
            if dy is not None:
                products.add(dy[cols], tile.T, fx[rows], 1 / len(y))
        return total, slope
