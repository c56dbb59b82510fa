"""How the streams lie on the sphere: the gap between them, the alignment of pairs, the uniformity of each."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from anyclip.errors import UserError, did_you_mean
from anyclip.evaluation.base import Evaluation, Result
from anyclip.evaluation.intervals import bootstrap
from anyclip.evaluation.retrieval import Sides
from anyclip.similarities import create_similarity

if TYPE_CHECKING:
    from anyclip.evaluation.data import EvalData
    from anyclip.model import JointModel

_ROWS = 512  # rows of a similarity matrix at a time


class ModalityGap(Evaluation):
    """Geometry of unit embeddings, float64.

    Per pair, over the items of rows that have both streams: `centroid_gap`, the distance of the two means (Liang et al.
    2022, arXiv 2203.02053, section 2.1); `alignment`, the mean squared distance of items that belong together (Wang &
    Isola 2020, arXiv 2005.10242, equation 5 with alpha = 2; 0 is best, 2 are orthogonal items); `matched_cosine` and
    `unmatched_cosine`, the mean cosine of items that belong together and of all others.
    Per stream, over all its items: `uniformity`, log of the mean of exp(-2 squared distance) over pairs of different
    items (the same paper, equation 6 with t = 2; lower is more even), and `mean_norm`, the length of the mean (0:
    spread all round, 1: all in one point).
    """

    def run(self, model: JointModel, data: EvalData) -> Result:
        streams = list(self.pair) if self.pair else data.streams
        for stream in streams:
            if stream not in data.streams:
                hint = did_you_mean(stream, data.streams, noun="Streams of this dataset")
                raise UserError(f"modality_gap: no column for the stream {stream!r}.", where=data.name, hint=hint)
        result = Result("modality_gap", {}, info={"dataset": data.name, "trained": {}, "through": {}, "pairs": {}})
        similarity = create_similarity("cosine")
        for a, b in combinations(streams, 2):
            self._pair(result, Sides(data, a, b, "cosine", similarity, self.options), data)
        for stream in streams:
            limit, size = self.options.max_rows, self.options.batch_size
            vectors = data.vectors(stream, similarity, limit=limit, batch_size=size)
            if len(vectors.items):
                self._stream(result, stream, vectors.prepared["embedding"].double())
        return result

    def _pair(self, result: Result, sides: Sides, data: EvalData) -> None:
        label, n = f"{sides.a}-{sides.b}", sides.relation.sizes[0]
        i, j = sides.relation.edges(0, n)
        if not len(i):
            return
        a, b = sides.prepared_a["embedding"].double(), sides.prepared_b["embedding"].double()
        matched = (a[i] * b[j]).sum(dim=1)
        squared = (a[i] - b[j]).square().sum(dim=1)
        result.numbers[f"{label}/centroid_gap"] = float((a.mean(dim=0) - b.mean(dim=0)).norm())
        result.numbers[f"{label}/alignment"] = float(squared.mean())
        result.numbers[f"{label}/matched_cosine"] = float(matched.mean())
        others = len(a) * len(b) - len(matched)
        if others:
            every = float(a.sum(dim=0) @ b.sum(dim=0))
            result.numbers[f"{label}/unmatched_cosine"] = (every - float(matched.sum())) / others
        mean = {f"{label}/alignment": lambda drawn: drawn.mean(axis=1)}
        resamples, seed = self.options.bootstrap, self.options.seed
        result.intervals |= bootstrap(squared.numpy(), mean, resamples=resamples, seed=seed)
        result.info["trained"][label] = data.trained(sides.a, sides.b)
        result.info["through"][label] = data.through(sides.a, sides.b)
        result.info["pairs"][label] = {"rows": sides.rows, "matched": len(matched)}

    def _stream(self, result: Result, stream: str, x: Tensor) -> None:
        result.numbers[f"{stream}/mean_norm"] = float(x.mean(dim=0).norm())
        if len(x) > 1:
            result.numbers[f"{stream}/uniformity"] = uniformity(_spread(x, self.options.max_items))


def uniformity(x: Tensor, *, t: float = 2.0) -> float:
    """log mean over i != j of exp(-t |x_i - x_j|^2), unit rows [N, E], N > 1."""
    total: Any = 0.0
    for start in range(0, len(x), _ROWS):
        squared = (2 - 2 * x[start : start + _ROWS] @ x.T).clamp(min=0)
        every = torch.arange(start, min(start + _ROWS, len(x)))
        squared[every - start, every] = torch.inf
        total = total + torch.exp(-t * squared).sum()
    return float((total / (len(x) * (len(x) - 1))).log())


def _spread(x: Tensor, limit: int) -> Tensor:
    """At most `limit` rows, evenly spread: the pairs grow with the square."""
    return x if len(x) <= limit else x[torch.arange(limit) * len(x) // limit]
