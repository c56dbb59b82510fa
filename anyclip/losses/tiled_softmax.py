"""InfoNCE tile by tile: both directions from one product, gradients made in the forward.

The idea of Inf-CLIP (Cheng et al. 2024, arXiv 2410.17243): never a score matrix. First pass: the normalisers of all
rows and columns. Second pass: each tile's scores again, its softmax weights of both directions, and their products with
the embeddings. That is 8 n N D operations for own rows n, where two separate directions cost 12.

Numerics. A row's loss is log(1 + s) with s = sum over the OTHER columns of exp(L_ij - L_ii): the normaliser is kept
relative to the pair's own score, so that a pair that is nearly solved (s = 1e-9, which `1 + s` forgets in float32)
keeps its loss and gradient. The pair's own weight is expm1(-loss) and is added outside the products. With scores in a
moderate range one exponential of a tile serves both directions: exp(L_ij - p) with one pivot p, times a factor per row
plus a factor per column. Wider ranges take an exponential per direction.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from anyclip import distributed
from anyclip.losses.tiled_block import Block, Tiles, inner, only_once, vector_dtype, view


def softmax_share(
    x: Tensor, y: Tensor, start: int, *, scale: Tensor | float, weights: tuple[float, float], tiles: Tiles
) -> Tensor:
    """Own rows' share of the weighted cross entropies of both directions, over N.

    x: own rows [n, D]. y: all columns [N, D]. Row i pairs with column start + i. Shares of all processes add up to the
    whole; with `tiles.together` every process must call this at the same time.
    """
    scale = torch.as_tensor(scale, dtype=x.dtype, device=x.device)
    return _apply(x, y, scale, start, weights, tiles, torch.is_grad_enabled())


class _Softmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        y: Tensor,
        scale: Tensor,
        start: int,
        weights: tuple[float, float],
        tiles: Tiles,
        learn: bool,
    ) -> Tensor:
        ctx.save_for_backward(x, y)
        ctx.shape = scale.shape
        ctx.softmax = softmax = Softmax(start, float(scale), tiles, weights)
        with tiles.products.running():
            loss = softmax.normalise(x, y)
            if learn and any(ctx.needs_input_grad[:3]):
                ctx.made = softmax.gradients(x, y, *ctx.needs_input_grad[:3])
        return loss.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        only_once()
        made, ctx.made = ctx.made, None  # given away, so that they can be scaled in place
        if made is None:  # a second backward through a retained graph
            with ctx.softmax.tiles.products.running():
                made = ctx.softmax.gradients(*ctx.saved_tensors, *ctx.needs_input_grad[:3])
        dx, dy, dscale = made
        factor = grad * ctx.softmax.scale
        dx = dx.mul_(factor) if ctx.needs_input_grad[0] else None
        dy = dy.mul_(factor) if ctx.needs_input_grad[1] else None
        dscale = (dscale * grad).to(grad.dtype).reshape(ctx.shape) if ctx.needs_input_grad[2] else None
        return dx, dy, dscale, None, None, None, None


_apply: Any = torch.compiler.disable(_Softmax.apply)  # loops over tiles are nothing to compile


class Softmax(Block):
    """The two passes. After `normalise`, vectors of one number per row and column are all that is kept."""

    def __init__(self, start: int, scale: float, tiles: Tiles, weights: tuple[float, float]):
        super().__init__(start, scale, tiles)
        self.weights = weights

    def normalise(self, x: Tensor, y: Tensor) -> Tensor:
        """First pass; returns this process's share of the loss, a scalar."""
        own = slice(self.start, self.start + len(x))
        self.pair = torch.zeros(len(y), dtype=vector_dtype(x), device=x.device)  # L_jj of every column
        self.pair[own] = self.pairs(x, y)
        if self.tiles.together:
            self.pair = distributed.all_sum(self.pair)
        self._choose_pivot(x, y)
        row, col = self._sums(x, y) if self.pivot is not None else self._wide_sums(x, y)
        if self.tiles.together:
            col = distributed.all_logsumexp(col)
        zero = torch.zeros((), dtype=row.dtype, device=row.device)
        self.row_loss, self.col_loss = torch.logaddexp(row, zero), torch.logaddexp(col, zero)
        of_rows, of_cols = self.row_loss.sum(), self.col_loss[own].sum()
        return (self.weights[0] * of_rows + self.weights[1] * of_cols) / len(y)

    def gradients(
        self, x: Tensor, y: Tensor, want_x: bool, want_y: bool, want_scale: bool
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Second pass: d(loss) / d(scaled x), / d(scaled y), / d(scale)."""
        want_x = want_x or (want_scale and not want_y)
        n = len(y)
        dx = torch.zeros_like(x) if want_x else None
        dy = torch.zeros_like(y) if want_y else None
        buffer, spare = self.buffers(x, y)
        products, (fx, fy) = self.tiles.products, self.factors(x, y)
        weigh = self._weigh if self.pivot is not None else self._wide_weigh
        self._prepare_weights(x)
        for rows, cols, tile in self.walk(fx, fy, buffer):
            weights = weigh(tile, rows, cols, spare)
            if dx is not None:
                products.add(dx[rows], weights, fy[cols], 1 / n)
            if dy is not None:
                products.add(dy[cols], weights.T, fx[rows], 1 / n)
        own = slice(self.start, self.start + len(x))
        pairs = self.weights[0] * torch.expm1(-self.row_loss) + self.weights[1] * torch.expm1(-self.col_loss[own])
        pairs = pairs.to(x.dtype)[:, None]
        if dx is not None:
            dx.addcmul_(pairs, y[own], value=1 / n)
        if dy is not None:
            dy[own].addcmul_(pairs, x, value=1 / n)
        dscale = None
        if want_scale:
            dscale = inner(x, dx, self.tiles.rows) if dx is not None else inner(y, dy, self.tiles.rows)  # type: ignore[arg-type]
        return dx, dy, dscale

    def _choose_pivot(self, x: Tensor, y: Tensor) -> None:
        """One pivot for all scores, or None where their range is too wide for one exponential."""
        info, slack = torch.finfo(x.dtype), math.log(max(len(y), 2))
        largest, smallest = math.log(info.max) - 3 - slack, math.log(info.tiny)
        bound = self.bound(x, y)
        self.floor: float | None = None
        if 2 * bound + slack < -smallest:  # no exponential, nor a product of two, is out of range
            self.pivot: float | None = 0.0
            return
        low, high = self.pair.aminmax()
        top = max(bound, float(high))
        needed = top - float(low) - math.log(info.eps) + 2  # what is below adds nothing to any row or column
        self.pivot = top - largest if needed <= largest - smallest else None
        self.floor = info.tiny * 1e8  # smaller weights are nothing, but slow down the products as denormal numbers

    def _exponentials(self, tile: Tensor, rows: slice, cols: slice) -> Tensor:
        """exp(L - pivot), 0 for the pairs themselves; in place."""
        if self.pivot:
            tile.sub_(self.pivot)
        tile.exp_()
        self.fill_pairs(tile, rows, cols, 0.0)
        return tile

    def _sums(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """log sum_j exp(L_ij - L_ii) over the other columns [n]; the same down the columns, of own rows only [N]."""
        row, col = self.pair.new_zeros(len(x)), self.pair.new_zeros(len(y))
        for rows, cols, tile in self.walk(*self.factors(x, y), self.buffers(x, y)[0]):
            self._exponentials(tile, rows, cols)
            row[rows] += tile.sum(1)
            col[cols] += tile.sum(0)
        own = self.pair[self.start : self.start + len(x)]
        assert self.pivot is not None
        return row.log_() + (self.pivot - own), col.log_() + (self.pivot - self.pair)

    def _wide_sums(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """As `_sums`, with a maximum per row and column of each tile."""
        row, col = self.pair.new_full((len(x),), -math.inf), self.pair.new_full((len(y),), -math.inf)
        buffer, spare = self.buffers(x, y)
        pair = self.pair.to(x.dtype)
        own = pair[self.start :]
        for rows, cols, tile in self.walk(*self.factors(x, y), buffer):
            self.fill_pairs(tile, rows, cols, -math.inf)
            shifted = torch.sub(tile, own[rows, None], out=view(spare, rows, cols))
            row[rows] = torch.logaddexp(row[rows], shifted.logsumexp(1).to(row.dtype))
            shifted = torch.sub(tile, pair[cols], out=view(spare, rows, cols))
            col[cols] = torch.logaddexp(col[cols], shifted.logsumexp(0).to(col.dtype))
        return row, col

    def _prepare_weights(self, x: Tensor) -> None:
        """What turns a tile's exponentials into softmax weights, per row and column."""
        own = slice(self.start, self.start + len(x))
        if self.pivot is None:
            self.row_factor, self.col_factor = self.pair[own].to(x.dtype), self.pair.to(x.dtype)
            self.row_left, self.col_left = self.row_loss.to(x.dtype), self.col_loss.to(x.dtype)
            return
        row = (self.pivot - self.pair[own] - self.row_loss).exp_().mul_(self.weights[0])
        col = (self.pivot - self.pair - self.col_loss).exp_().mul_(self.weights[1])
        self.row_factor, self.col_factor = row.to(x.dtype), col.to(x.dtype)

    def _weigh(self, tile: Tensor, rows: slice, cols: slice, spare: Tensor) -> Tensor:
        """Scores -> weighted softmax weights of both directions, 0 for the pairs themselves; in place."""
        self._exponentials(tile, rows, cols)
        factors = torch.add(self.row_factor[rows, None], self.col_factor[cols], out=view(spare, rows, cols))
        tile.mul_(factors)
        return tile if self.floor is None else tile.clamp_(min=self.floor)

    def _wide_weigh(self, tile: Tensor, rows: slice, cols: slice, spare: Tensor) -> Tensor:
        """As `_weigh`, with one exponential per direction, so that none is above 1."""
        self.fill_pairs(tile, rows, cols, -math.inf)
        by_row = torch.sub(tile, self.row_factor[rows, None], out=view(spare, rows, cols))
        by_row.sub_(self.row_left[rows, None]).exp_().mul_(self.weights[0])
        tile.sub_(self.col_factor[cols]).sub_(self.col_left[cols]).exp_().mul_(self.weights[1])
        return tile.add_(by_row).clamp_(min=self.floor)
