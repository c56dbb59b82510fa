"""Ranks under any similarity, in chunks: for scores that are not one dot product (token-wise, cross-encoders)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from anyclip.evaluation.precision import matmul_precision
from anyclip.evaluation.ranks import Ranks
from anyclip.evaluation.relation import Relation
from anyclip.similarities import Prepared, Similarity

_TIED = 1e-6


def rank_scores(
    similarity: Similarity,
    a: Prepared,
    b: Prepared,
    relation: Relation,
    *,
    chunk: int = 128,
    shard: tuple[int, int] = (0, 1),
    reduce: Callable[[Tensor], Tensor] | None = None,
    reduce_max: Callable[[Tensor], Tensor] | None = None,
) -> Ranks:
    """Ranks as `rank_dot` defines them, from `similarity.scores` on chunks of `chunk` x `chunk` items.

    Runs over the chunks twice, first for the scores of the positives. Scores within 1e-6 of the largest absolute
    score count as tied: the order of a float32 sum is not known here. A similarity whose directions differ ranks each
    direction by its own scores. shard, reduce, reduce_max: as for `rank_dot`; sums and maxima over the processes.
    """
    na, nb = relation.sizes
    scorer = _Scorer(similarity, a, b, relation, chunk, shard)
    best_a, best_b = (torch.full((n,), -torch.inf, dtype=torch.float64) for n in (na, nb))
    largest = torch.zeros(1, dtype=torch.float64)
    with torch.no_grad(), matmul_precision("highest"):
        for i, j, ab, ba, positive in scorer.chunks():
            best_a[i] = torch.maximum(best_a[i], torch.where(positive, ab, -torch.inf).amax(1))
            best_b[j] = torch.maximum(best_b[j], torch.where(positive, ba, -torch.inf).amax(0))
            largest = torch.maximum(largest, torch.maximum(ab.abs().max(), ba.abs().max()))
        if reduce_max is not None:
            best_a, best_b, largest = reduce_max(best_a), reduce_max(best_b), reduce_max(largest)
        above_a, above_b = torch.zeros_like(best_a), torch.zeros_like(best_b)
        for i, j, ab, ba, positive in scorer.chunks():
            above_a[i] += _beaten(ab - best_a[i, None], positive, _TIED * largest).sum(1)
            above_b[j] += _beaten(ba - best_b[None, j], positive, _TIED * largest).sum(0)
    if reduce is not None:
        above_a, above_b = reduce(above_a), reduce(above_b)
    return Ranks(
        torch.where(torch.isinf(best_a), torch.nan, 1 + above_a),
        torch.where(torch.isinf(best_b), torch.nan, 1 + above_b),
    )


def _beaten(gap: Tensor, positive: Tensor, tied: Tensor) -> Tensor:
    value = (gap > tied).double() + 0.5 * (gap.abs() <= tied).double()
    return value.masked_fill(positive, 0.0)


class _Scorer:
    """Chunks of scores: (rows, columns, a->b scores [n, m], b->a scores laid out alike, mask of positives)."""

    def __init__(self, similarity, a, b, relation, chunk, shard):
        self.similarity, self.a, self.b, self.relation = similarity, a, b, relation
        self.chunk, self.shard = chunk, shard

    def chunks(self):
        na, nb = self.relation.sizes
        for start in range(self.shard[0] * self.chunk, na, self.chunk * self.shard[1]):
            rows = slice(start, min(start + self.chunk, na))
            i, j = self.relation.edges(rows.start, rows.stop)
            for left in range(0, nb, self.chunk):
                columns = slice(left, min(left + self.chunk, nb))
                ab, ba = score_pair(self.similarity, self.a, self.b, rows, columns)
                positive = torch.zeros(ab.shape, dtype=torch.bool)
                first, last = torch.searchsorted(j, torch.tensor([columns.start, columns.stop])).tolist()
                positive[i[first:last] - rows.start, j[first:last] - columns.start] = True
                yield rows, columns, ab, ba, positive


def score_pair(similarity: Similarity, a: Prepared, b: Prepared, rows, columns) -> tuple[Tensor, Tensor]:
    """Scores of some items, both [n, m] on the CPU in double precision: a->b, and b->a transposed to the same layout.

    Computed where the similarity's weights are. Raises ValueError when a score is not finite.
    """
    device = next((p.device for p in similarity.parameters()), None)
    sides = ({k: v[some].to(device) for k, v in side.items()} for side, some in ((a, rows), (b, columns)))
    with torch.no_grad():
        scores = similarity.scores(*sides)
    ab, ba = (scores[0], scores[1].T) if isinstance(scores, tuple) else (scores, scores)
    ab, ba = ab.double().cpu(), ba.double().cpu()
    if not (torch.isfinite(ab).all() and torch.isfinite(ba).all()):
        raise ValueError("scores hold values that are not finite")
    return ab, ba
