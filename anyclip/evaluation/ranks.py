"""Rank of the right answer for every query, in both directions, without an N x N matrix.

The scores above the best positive's are counted in tiles: one matmul tile serves both directions, so that the time is
about one matmul, and the memory is O(N E) for the embeddings plus one tile.

The rule for ranks: `rank = 1 + (negatives scored above the best positive) + (negatives tied with it) / 2`. With several
positives the best of their ranks counts, and other positives never stand in the way. A model that gives all N
candidates the same score therefore has rank (N + 1) / 2 everywhere, neither 1 nor N.

Ranks are exact, ties included. A float32 matmul may give two equal vectors scores that differ in the last bit,
depending on where they lie in a tile; so matmuls only screen: whatever lies within their rounding error of the
positive's score is compared again in double precision, where scores within 1e-12 (relative to the vectors' lengths)
are equal. A screen may therefore be as coarse as the hardware multiplies fast (bf16, TF32): where too many scores lie
near the threshold, the tile is screened again in float32, and in double precision when that does not tell either.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from anyclip.evaluation.precision import fast_precision, matmul_precision
from anyclip.evaluation.relation import Relation

_TILE = (512, 1024)
_TIED = 1e-12
_PAIRS = 1 << 16  # numbers per side in one double-precision recheck: stays in the cache
_FEW = 256  # rechecking one in so many scores of a tile costs about a float32 matmul of it


@dataclass
class Ranks:
    """float64 ranks from 1: `forward` [Na] (a asks for b), `backward` [Nb]; NaN for items without a positive."""

    forward: Tensor
    backward: Tensor


@dataclass
class _Side:
    """Thresholds and running counts of one direction's queries.

    best: double, score of the best positive. tied: double, half width of a tie. above: double, counts; a tie adds 1/2.
    bands: of each screen (low, high), float32: a score below is certainly lower than the best positive's, above higher.
    """

    best: Tensor
    tied: Tensor
    above: Tensor
    bands: list[tuple[Tensor, Tensor]]

    def part(self, cut: slice) -> _Side:
        bands = [(low[cut], high[cut]) for low, high in self.bands]
        return _Side(self.best[cut], self.tied[cut], self.above[cut], bands)


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
    counter = _Counter(a.float().contiguous(), b.float().contiguous(), relation)
    rows, columns = _TILE
    with matmul_precision("highest"):
        for start in range(shard[0] * rows, len(a), rows * shard[1]):
            block = slice(start, min(start + rows, len(a)))
            i, j = (x.to(a.device) for x in relation.edges(block.start, block.stop))
            for left in range(0, len(b), columns):
                cut = slice(left, min(left + columns, len(b)))
                first, last = torch.searchsorted(j, torch.tensor([cut.start, cut.stop], device=j.device)).tolist()
                counter.count(block, cut, (i[first:last] - start, j[first:last] - left))
    return Ranks(*(_finish(side, reduce) for side in counter.sides))


class _Counter:
    """Counts, tile by tile, the negatives above each query's best positive."""

    def __init__(self, a: Tensor, b: Tensor, relation: Relation):
        self.a, self.b = a, b
        lengths = (a.norm(dim=1).double(), b.norm(dim=1).double())
        if not all(torch.isfinite(length).all() for length in lengths):
            raise ValueError("embeddings hold values that are not finite")
        self.screens = [p for p in (fast_precision(a.device),) if p] + ["highest"]
        self.sides = self._sides(relation, lengths)
        self._scores = a.new_empty(_TILE[0] * _TILE[1])
        self._masks = torch.empty(2, _TILE[0] * _TILE[1], dtype=torch.bool, device=a.device)
        self._wasted = 0  # coarse screens that had to be repeated, less those that had not

    def _sides(self, relation: Relation, lengths: tuple[Tensor, Tensor]) -> tuple[_Side, _Side]:
        a, b, (of_a, of_b) = self.a, self.b, lengths
        best_a, best_b = (torch.full_like(length, -torch.inf) for length in lengths)
        for start in range(0, len(a), _TILE[0]):
            i, j = (x.to(a.device) for x in relation.edges(start, min(start + _TILE[0], len(a))))
            score = _exact(a, b, i, j)
            best_a.scatter_reduce_(0, i, score, "amax")
            best_b.scatter_reduce_(0, j, score, "amax")
        # a float32 sum of E terms errs by about sqrt(E) roundings of 2^-24; measured 0.3 of that, taken 4 times
        fine = 4 * math.sqrt(max(a.shape[1], 16)) * 2.0**-24
        size_a, size_b = of_a * _longest(of_b), of_b * _longest(of_a)
        margins_a, margins_b = [fine * size_a], [fine * size_b]
        if len(self.screens) > 1:  # by Cauchy-Schwarz from what rounding to bf16 (TF32 keeps more) takes away
            lost_a, lost_b = _lost(a), _lost(b)
            coarse_a = lost_a * _longest(of_b) + (of_a + lost_a) * _longest(lost_b)
            coarse_b = lost_b * _longest(of_a) + (of_b + lost_b) * _longest(lost_a)
            margins_a.insert(0, coarse_a + 4 * margins_a[0])
            margins_b.insert(0, coarse_b + 4 * margins_b[0])
        return _side(best_a, size_a, margins_a), _side(best_b, size_b, margins_b)

    def count(self, rows: slice, columns: slice, positives: tuple[Tensor, Tensor]) -> None:
        """Add one tile; `positives`: its entries that are right answers."""
        a, b = self.a[rows], self.b[columns]
        sides = [self.sides[0].part(rows), self.sides[1].part(columns)]
        tile = self._scores[: len(a) * len(b)].view(len(a), len(b))
        masks = self._masks[:, : tile.numel()].view(2, *tile.shape)
        last = len(self.screens) - 1
        for level in range(last if self._wasted > 4 else 0, last + 1):
            with matmul_precision(self.screens[level]):
                torch.mm(a, b.T, out=tile)
            tile[positives] = -torch.inf
            found = [_screen(tile, masks, side, level, axis) for axis, side in enumerate(sides)]
            if level == last:
                break
            crowded = max(len(near[0]) for _, near in found) * _FEW > tile.numel()
            self._wasted += 1 if crowded else -1
            if not crowded:
                break
        for axis, (side, (counts, near)) in enumerate(zip(sides, found)):
            side.above += counts  # as if all that may be above were; the near ones are put right here
            _settle(a, b, side, near, axis)


def _side(best: Tensor, size: Tensor, margins: list[Tensor]) -> _Side:
    bands = [((best - margin).float(), (best + margin).float()) for margin in margins]
    return _Side(best, _TIED * size, torch.zeros_like(best), bands)


def _longest(lengths: Tensor) -> Tensor:
    return lengths.max() if len(lengths) else lengths.new_zeros(())


def _lost(x: Tensor) -> Tensor:
    """[N] double: length of what each row loses when it is rounded to bf16; a block at a time."""
    return torch.cat([(part - part.bfloat16().float()).norm(dim=1).double() for part in x.split(_TILE[0])])


def _screen(tile: Tensor, masks: Tensor, side: _Side, level: int, axis: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Queries along `axis` (0: rows, 1: columns): (number of scores that may be above, where it is not certain)."""
    candidate, certain = masks
    low, high = side.bands[level]
    _at_least(tile, _along(low, axis), candidate)
    counts = _sum(candidate, 1 - axis)
    if int(counts.sum()) * 64 < tile.numel():
        i, j = _where(candidate)
        near = tile[i, j] <= high[i if axis == 0 else j]
        return counts, (i[near], j[near])
    _at_least(tile, _along(high, axis), certain)
    return counts, _where(candidate.logical_xor_(certain))


def _settle(a: Tensor, b: Tensor, side: _Side, near: tuple[Tensor, Tensor], axis: int) -> None:
    """Compare the near ones in double precision: take back those that are below, and half of those that tie."""
    i, j = near
    query = i if axis == 0 else j
    if len(i) * 16 > len(a) * len(b):  # a collapsed model, all scores alike: faster in one piece
        score = (a.double() @ b.double().T)[i, j]
    else:
        score = _exact(a, b, i, j)
    beaten = _beaten(score - side.best[query], side.tied[query])
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
        row, column = mask.nonzero(as_tuple=True)
        return row, column
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
        products = a.index_select(0, i[cut]).double().mul_(b.index_select(0, j[cut]))
        torch.sum(products, dim=1, out=out[cut])
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
