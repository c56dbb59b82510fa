"""Retrieval between two streams: Recall@K, median and mean rank, both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from anyclip.errors import UserError, did_you_mean
from anyclip.evaluation.base import Evaluation, Result
from anyclip.evaluation.examples import matrix_example, query_examples
from anyclip.evaluation.intervals import bootstrap, chance_median, chance_rank, chance_recall
from anyclip.evaluation.macro import hits, over_targets
from anyclip.evaluation.ranks import Ranks, rank_dot
from anyclip.evaluation.ranks_general import rank_scores
from anyclip.evaluation.relation import Relation
from anyclip.similarities import Prepared, Similarity, create_similarity

if TYPE_CHECKING:
    from anyclip.evaluation.data import EvalData, Items, Vectors
    from anyclip.model import JointModel


class Retrieval(Evaluation):
    """How well the items of one stream find those of the other that belong to them.

    Equal contents are one item: a caption that 100 rows share is one candidate and one query. Items of one row belong
    together, and so do those of rows with the same value of the `group` field; a query with several right answers
    counts the best of their ranks. Ties count half: `rank = 1 + negatives above + negatives tied / 2`, and Recall@K
    is the share of queries with rank <= K. Chance is what a random order would score with the same candidates.
    With `macro` Recall@K is also averaged over the right answers, so that frequent ones weigh no more than others.
    Queries are the items with at least one right answer, candidates all items.
    """

    def run(self, model: JointModel, data: EvalData) -> Result:
        a, b = self._pair(data)
        name, similarity = self._similarity(data, a, b)
        edge = data.edge(a, b)
        if edge is not None and similarity is edge.similarity:
            a, b = edge.pair  # many similarities tell the two streams apart: which is the sentence, which the frames
        sides = Sides(data, a, b, name, similarity, self.options)
        result = Result("retrieval", {}, info=self._info(data, sides, name))
        if not all(sides.relation.sizes):
            return result
        ranks = self._ranks(similarity, sides, data)
        positives = sides.relation.counts()
        for forward, rank, counts in ((True, ranks.forward, positives[0]), (False, ranks.backward, positives[1])):
            source, target = (a, b) if forward else (b, a)
            label, candidates = f"{source}->{target}", sides.relation.sizes[1 if forward else 0]
            self._measure(result, label, rank, counts, candidates)
            if self.options.macro:
                self._macro(result, label, rank, counts, sides.relation, forward)
        result.examples = [
            *query_examples(sides, ranks, similarity, self.options.examples),
            *matrix_example(sides, similarity, self.options.matrix),
        ]
        return result

    def _pair(self, data: EvalData) -> tuple[str, str]:
        pair = self.pair or tuple(data.streams)
        if len(pair) != 2:
            raise UserError(
                f"retrieval compares two streams, this dataset holds {len(pair)}: {', '.join(pair)}.",
                where=data.name,
                hint=f"Name them: `eval: [{{name: retrieval, pair: [{', '.join(pair[:2])}]}}]`.",
            )
        for stream in pair:
            if stream not in data.streams:
                hint = did_you_mean(stream, data.streams, noun="Streams of this dataset")
                raise UserError(f"retrieval: no column for the stream {stream!r}.", where=data.name, hint=hint)
        return pair

    def _similarity(self, data: EvalData, a: str, b: str) -> tuple[str, Similarity]:
        if self.options.similarity is not None:
            return self.options.similarity, create_similarity(self.options.similarity)
        edge = data.edge(a, b)
        return (edge.name, edge.similarity) if edge else ("cosine", create_similarity("cosine"))

    def _info(self, data: EvalData, sides: Sides, similarity: str) -> dict[str, Any]:
        return {
            "dataset": data.name,
            "pair": [sides.a, sides.b],
            "trained": data.trained(sides.a, sides.b),
            "through": data.through(sides.a, sides.b),
            "similarity": similarity,
            "items": {sides.a: sides.relation.sizes[0], sides.b: sides.relation.sizes[1]},
            "rows": sides.rows,
        }

    def _ranks(self, similarity: Similarity, sides: Sides, data: EvalData) -> Ranks:
        kw: dict[str, Any] = {"shard": data.processes.shard, "reduce": data.processes.sum}
        if similarity.decomposable:
            a, b = sides.prepared_a["embedding"], sides.prepared_b["embedding"]
            device = next((p.device for p in data.model.parameters()), a.device)
            if device.type == "cuda":  # double precision, which ties need, is not there on every accelerator
                a, b = a.to(device), b.to(device)
            return rank_dot(a, b, sides.relation, **kw)
        kw |= {"chunk": self.options.chunk, "reduce_max": data.processes.max}
        return rank_scores(similarity, sides.prepared_a, sides.prepared_b, sides.relation, **kw)

    def _measure(self, result: Result, label: str, ranks: Tensor, positives: Tensor, candidates: int) -> None:
        asked = ~ranks.isnan()
        values, counts = ranks[asked].numpy(), positives[asked].numpy()
        metrics = {f"{label}/R@{k}": _recall(k) for k in self.options.ks}
        metrics[f"{label}/median_rank"] = lambda drawn: np.median(drawn, axis=1)
        metrics[f"{label}/mean_rank"] = lambda drawn: drawn.mean(axis=1)
        result.numbers |= {name: float(metric(values[None])[0]) for name, metric in metrics.items()}
        result.intervals |= bootstrap(values, metrics, resamples=self.options.bootstrap, seed=self.options.seed)
        result.chance |= {f"{label}/R@{k}": chance_recall(counts, candidates, k) for k in self.options.ks}
        result.chance[f"{label}/median_rank"] = chance_median(counts, candidates)
        result.chance[f"{label}/mean_rank"] = chance_rank(counts, candidates)
        result.info.setdefault("queries", {})[label] = len(values)

    def _macro(
        self, result: Result, label: str, ranks: Tensor, positives: Tensor, relation: Relation, forward: bool
    ) -> None:
        """Recall@K, a mean over right answers of the mean over the queries that each belongs to."""
        candidates, ks = relation.sizes[1 if forward else 0], self.options.ks
        lucky = {int(p): [chance_recall(np.array([p]), candidates, k) for k in ks] for p in positives.unique().tolist()}
        chance = np.array([lucky[p] for p in positives.tolist()])
        chance[ranks.isnan().numpy()] = np.nan
        values, expected = (over_targets(relation, x, forward=forward) for x in (hits(ranks, ks), chance))
        for column, k in enumerate(ks):
            name = f"{label}/macro_R@{k}"
            result.numbers[name] = float(values[:, column].mean())
            result.chance[name] = float(expected[:, column].mean())
            mean = {name: lambda drawn: drawn.mean(axis=1)}
            o = self.options
            result.intervals |= bootstrap(values[:, column], mean, resamples=o.bootstrap, seed=o.seed)
        result.info.setdefault("right_answers", {})[label] = len(values)


def _recall(k: int):
    return lambda drawn: (drawn <= k).mean(axis=1)


class Sides:
    """The items of both streams, renumbered 0..n-1, with what they belong to.

    prepared_a, prepared_b: rows in item order. where_a, where_b: item -> (row, alternative). rows: data rows used.
    """

    def __init__(self, data: EvalData, a: str, b: str, name: str, similarity: Similarity, options: Any):
        self.a, self.b, self.data = a, b, data
        limit, size = options.max_rows, options.batch_size
        items_a, items_b = data.items(a, limit), data.items(b, limit)
        vectors_a = data.vectors(a, similarity, name=name, limit=limit, batch_size=size)
        vectors_b = data.vectors(b, similarity, name=name, limit=limit, batch_size=size)
        usable_a, usable_b = _usable(items_a, vectors_a), _usable(items_b, vectors_b)
        hub = self._hubs(options.group, limit, items_a.rows[usable_a], items_b.rows[usable_b])
        self.prepared_a, self.where_a, edges_a = _renumber(items_a, vectors_a, usable_a, hub)
        self.prepared_b, self.where_b, edges_b = _renumber(items_b, vectors_b, usable_b, hub)
        self.relation = Relation(edges_a, edges_b, (len(self.where_a), len(self.where_b)))
        self.rows = int((hub >= 0).sum())

    def _hubs(self, group: str | None, limit: int | None, rows_a: Tensor, rows_b: Tensor) -> Tensor:
        """Row -> what it belongs to, -1 for rows left out: without a group, those that lack one of the two streams."""
        total = len(self.data)
        has_a, has_b = torch.zeros(total, dtype=torch.bool), torch.zeros(total, dtype=torch.bool)
        has_a[rows_a], has_b[rows_b] = True, True
        own = torch.arange(total)
        if group is None:
            return torch.where(has_a & has_b, own, -1)
        if group not in self.data.fields:
            raise UserError(
                f"retrieval: the dataset has no column {group!r} to group rows by.",
                where=self.data.name,
                hint=f"Map it with `fields: {{{group}: COLUMN}}`.",
            )
        numbers: dict[Any, int] = {}
        for row, value in self.data.field(group, limit).items():
            own[row] = total + numbers.setdefault(value, len(numbers))
        return torch.where(has_a | has_b, own, -1)


def _usable(items: Items, vectors: Vectors) -> Tensor:
    """Which (row, item) entries have a vector."""
    good = torch.zeros(len(items), dtype=torch.bool)
    good[vectors.items] = True
    return good[items.items]


def _renumber(
    items: Items, vectors: Vectors, usable: Tensor, hub: Tensor
) -> tuple[Prepared, list[tuple[int, int]], tuple[Tensor, Tensor]]:
    """Keep the items of the rows in use: their prepared rows, their places, and (item, hub) of every entry."""
    hubs = hub[items.rows]
    keep = usable & (hubs >= 0)
    kept, numbers = torch.unique(items.items[keep], return_inverse=True)
    position = torch.full((len(items),), -1)
    position[vectors.items] = torch.arange(len(vectors.items))
    prepared = {name: x[position[kept]] for name, x in vectors.prepared.items()}
    return prepared, [items.where[i] for i in kept.tolist()], (numbers, hubs[keep])
