"""Losses of large batches without a score matrix: when, with what tiles, and what each family needs beside them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from anyclip import distributed
from anyclip.losses.base import Prepared, Score
from anyclip.losses.tiled_block import Tiles
from anyclip.losses.tiled_products import Products
from anyclip.losses.tiled_sigmoid import sigmoid_share
from anyclip.losses.tiled_softmax import softmax_share

AUTO = 2**22  # `tile: auto` begins with this many scores per process: 16 MB in float32
SHAPES = {"cpu": (512, 1024)}  # measured; wider tiles leave the second level of the cache
OTHER = (4096, 4096)


def plan(options: Any, a: Prepared, b: Prepared, local: slice, score: Score | None) -> Tiles | None:
    """How to tile, or None where the plain formula is to be used.

    options: with `tile` and `tile_dtype`. a, b: gathered rows. score: that of the similarity; None for dot products in
    one process. The answer is the same on every process. Only similarities that are dot products of embeddings tile.
    """
    tile = options.tile
    if tile == "none" or set(a) != {"embedding"} or set(b) != {"embedding"}:
        return None
    if score is not None and not getattr(getattr(score, "__self__", None), "decomposable", False):
        return None
    x, n = a["embedding"], len(b["embedding"])
    together = score is not None and distributed.communicates()
    if not together and local.stop - local.start != n:  # rows of processes that cannot be asked
        return None
    if tile == "auto" and n * n < AUTO * (distributed.world_size() if together else 1):
        return None
    rows, cols = SHAPES.get(x.device.type, OTHER) if tile == "auto" else (tile, tile)
    return Tiles(rows, cols, Products(x, options.tile_dtype), together)


def tiled_softmax(
    a: Prepared,
    b: Prepared,
    local: slice,
    *,
    scale: Tensor | float,
    bias: Tensor | float | None,
    weights: tuple[float, float],
    label_smoothing: float,
    tiles: Tiles,
) -> Tensor:
    """This process's share of the weighted cross entropies of both directions."""
    x, y = a["embedding"], b["embedding"]
    own = _own(x, local)
    share = softmax_share(own, y, local.start, scale=scale, weights=weights, tiles=tiles)
    if label_smoothing:
        share = share + label_smoothing * scale * _above_mean(x, y, own, _own(y, local), weights)
    if isinstance(bias, Tensor):
        share = share + bias.flatten()[:0].sum()  # it cancels, and its gradient is 0
    return share.sum()


def tiled_sigmoid(
    a: Prepared, b: Prepared, local: slice, *, scale: Tensor | float, bias: Tensor | float | None, tiles: Tiles
) -> Tensor:
    """This process's share of the sum over all pairs."""
    own = _own(a["embedding"], local)
    return sigmoid_share(own, b["embedding"], local.start, scale=scale, bias=bias, tiles=tiles)


def _own(x: Tensor, local: slice) -> Tensor:
    return x if local.stop - local.start == len(x) else x[local]


def _above_mean(x: Tensor, y: Tensor, own_x: Tensor, own_y: Tensor, weights: tuple[float, float]) -> Tensor:
    """Sum over own rows of the pair's score above the mean of its candidates, both directions, over N.

    A mean of dot products is the dot product with a mean: label smoothing needs no tile.
    """
    pairs = torch.linalg.vecdot(own_x, own_y).sum()
    of_rows, of_cols = (own_x @ y.mean(dim=0)).sum(), (own_y @ x.mean(dim=0)).sum()
    return (weights[0] * (pairs - of_rows) + weights[1] * (pairs - of_cols)) / len(y)
