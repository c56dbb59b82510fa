"""Rank of the right answer for every query, in both directions, without an N x N matrix.

The scores above the best positive's are counted in tiles: one float32 matmul tile serves both directions, so that the
time is one matmul plus four comparisons, and the memory is O(N E) for the embeddings plus one tile.

The rule for ranks: `rank = 1 + (negatives scored above the best positive) + (negatives tied with it) / 2`. With several
positives the best of their ranks counts, and other positives never stand in the way. A model that gives all N
candidates the same score therefore has rank (N + 1) / 2 everywhere, neither 1 nor N.

Ties are exact. A float32 matmul may give two equal vectors scores that differ in the last bit, depending on where they
lie in a tile; so float32 only screens: whatever lies within its rounding error of the positive's score is compared
again in double precision, where scores within 1e-12 (relative to the vectors' lengths) are equal.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from anyclip.evaluation.relation import Relation

_TILE = (512, 1024)
_TIED = 1e-12
_PAIRS = 1 << 18  # numbers per side in one double-precision recheck: 2 MB


@dataclass
class Ranks:
    """float64 ranks from 1: `forward` [Na] (a asks for b), `backward` [Nb]; NaN for items without a positive."""

    forward: Tensor
    backward: Tensor


@dataclass
class _Side:
    """Thresholds and running counts of one direction's queries."""

    best: Tensor  # double: score of the best positive
    tied: Tensor  # double: half width of a tie
    low: Tensor  # float32: below it certainly lower than the best positive
    high: Tensor  # float32: above it certainly higher
    above: Tensor  # double: counts; a tie adds 1/2


def rank_dot(
    a: Tensor,
    b: Tensor,
    relation: Relation,
    *,
    shard: tuple[int, int] = (0, 1),
    reduce: Callable[[Tensor], Tensor] | None = None,
) -> Ranks:
    """Ranks under the dot product of `a` [Na, E] and `b` [Nb, E] (float32, finite).

    shard: (rank, world): this process counts every world-th block of rows of `a`; `reduce` then sums counts [N] over
    the processes. Raises ValueError for embeddings that are not finite, whose ranks would look perfect.
    """
    a, b = a.float().contiguous(), b.float().contiguous()
    lengths = (a.norm(dim=1).double(), b.norm(dim=1).double())
    if not all(torch.isfinite(length).all() for length in lengths):
        raise ValueError("embeddings hold values that are not finite")
    forward, backward = _sides(a, b, relation, *lengths)
    rows, columns = _TILE
    scores = a.new_empty(rows * columns)
    masks = torch.empty(2, rows * columns, dtype=torch.bool, device=a.device)
    with full_precision():
        for start in range(shard[0] * rows, len(a), rows * shard[1]):
            stop = min(start + rows, len(a))
            i, j = (x.to(a.device) for x in relation.edges(start, stop))
            for left in range(0, len(b), columns):
                right = min(left + columns, len(b))
                shape = (stop - start, right - left)
                tile = scores[: shape[0] * shape[1]].view(shape)
                torch.mm(a[start:stop], b[left:right].T, out=tile)
                first, last = torch.searchsorted(j, torch.tensor([left, right], device=j.device)).tolist()
                positives = (i[first:last] - start, j[first:last] - left)
                tile[positives] = -torch.inf
                work = masks[:, : tile.numel()].view(2, *shape)
                _count(tile, work, a[start:stop], b[left:right], positives, _part(forward, start, stop), 0)
                _count(tile, work, a[start:stop], b[left:right], positives, _part(backward, left, right), 1)
    return Ranks(*(_finish(side, reduce) for side in (forward, backward)))


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """float32 matmuls as float32, whatever the process allows (TF32 on GPUs, bf16 on CPUs)."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _sides(a: Tensor, b: Tensor, relation: Relation, length_a: Tensor, length_b: Tensor) -> tuple[_Side, _Side]:
    best_a = torch.full((len(a),), -torch.inf, dtype=torch.float64, device=a.device)
    best_b = torch.full((len(b),), -torch.inf, dtype=torch.float64, device=a.device)
    for start in range(0, len(a), _TILE[0]):
        i, j = (x.to(a.device) for x in relation.edges(start, min(start + _TILE[0], len(a))))
        score = _exact(a, b, i, j)
        best_a.scatter_reduce_(0, i, score, "amax")
        best_b.scatter_reduce_(0, j, score, "amax")
    longest_a = length_a.max() if len(a) else 0.0
    longest_b = length_b.max() if len(b) else 0.0
    # error of an E-long float32 sum: about sqrt(E) roundings of 2^-24; measured 0.3 of that, taken 4 times for safety
    error = 4 * math.sqrt(max(a.shape[1], 16)) * 2.0**-24
    return _side(best_a, length_a * longest_b, error), _side(best_b, length_b * longest_a, error)


def _side(best: Tensor, size: Tensor, error: float) -> _Side:
    margin = error * size
    low, high = (best - margin).float(), (best + margin).float()
    return _Side(best, _TIED * size, low, high, torch.zeros_like(best))


def _part(side: _Side, start: int, stop: int) -> _Side:
    cut = slice(start, stop)
    return _Side(side.best[cut], side.tied[cut], side.low[cut], side.high[cut], side.above[cut])


def _count(tile: Tensor, work: Tensor, a: Tensor, b: Tensor, positives, side: _Side, axis: int) -> None:
    """Add the negatives of one tile that beat the queries along `axis` (0: rows, 1: columns) to `side.above`."""
    candidate, certain = work
    _at_least(tile, _along(side.low, axis), candidate)
    counts = _sum(candidate, 1 - axis)
    total = int(counts.sum())
    if not total:
        return
    side.above += counts  # as if all of them were above; the near ones are put right below
    if total * 64 < tile.numel():
        i, j = _where(candidate)
        near = tile[i, j] <= side.high[i if axis == 0 else j]
        i, j = i[near], j[near]
    else:
        _at_least(tile, _along(side.high, axis), certain)
        i, j = _where(candidate.logical_xor_(certain))
    if len(i) * 16 > tile.numel():  # a collapsed model, all scores alike: faster in one piece
        score = a.double() @ b.double().T
        score[positives] = -torch.inf
        beaten = _beaten(score - _along(side.best, axis), _along(side.tied, axis))
        side.above += ((beaten - 1) * candidate).sum(1 - axis)
    elif len(i):
        query = i if axis == 0 else j
        beaten = _beaten(_exact(a, b, i, j) - side.best[query], side.tied[query])
        side.above.index_add_(0, query, beaten - 1)


def _along(per_query: Tensor, axis: int) -> Tensor:
    return per_query[:, None] if axis == 0 else per_query[None]


def _beaten(gap: Tensor, tied: Tensor) -> Tensor:
    """1 where a score lies above the best positive's, 1/2 where they tie, else 0; double."""
    return ((gap > tied).double() + (gap >= -tied).double()) / 2


def _at_least(tile: Tensor, threshold: Tensor, out: Tensor) -> None:
    if tile.device.type == "cpu":  # numpy's comparison takes 0.4 of torch's time
        np.greater_equal(tile.numpy(), threshold.numpy(), out=out.numpy())
    else:
        torch.ge(tile, threshold, out=out)


def _where(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column of every True. Looks at eight bytes at a time: few are set."""
    if mask.shape[1] % 8:
        return mask.nonzero(as_tuple=True)
    words = mask.view(torch.int64)
    row, word = words.nonzero(as_tuple=True)
    k, byte = words[row, word].view(torch.uint8).view(-1, 8).nonzero(as_tuple=True)
    return row[k], word[k] * 8 + byte


def _exact(a: Tensor, b: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """Dot products of pairs of rows, accumulated in double precision."""
    out = torch.empty(len(i), dtype=torch.float64, device=a.device)
    step = max(1, _PAIRS // a.shape[1])
    for start in range(0, len(i), step):
        cut = slice(start, start + step)
        torch.sum(a[i[cut]].double() * b[j[cut]].double(), dim=1, out=out[cut])
    return out


def _sum(mask: Tensor, dim: int) -> Tensor:
    """Count of True along `dim`. Eight bytes are added at a time: each stays below 256, so that none carries over."""
    rows, columns = mask.shape
    if columns % 8 or columns > 2040 or rows % 128:
        return mask.sum(dim)
    words = mask.view(torch.int64)
    if dim == 1:
        return words.sum(1).view(torch.uint8).view(rows, 8).sum(1)
    return words.view(rows // 128, 128, -1).sum(1).view(torch.uint8).view(-1, columns).sum(0)


def _finish(side: _Side, reduce: Callable[[Tensor], Tensor] | None) -> Tensor:
    above = side.above if reduce is None else reduce(side.above)
    return torch.where(torch.isinf(side.best), torch.nan, 1 + above).cpu()
