"""What the report shows of a retrieval: some queries with what they found, and a corner of the similarity matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from anyclip.evaluation.ranks_general import score_pair
from anyclip.similarities import Similarity

if TYPE_CHECKING:
    from anyclip.evaluation.ranks import Ranks
    from anyclip.evaluation.retrieval import Sides

_SHOWN = 5  # candidates per query
_MOST = 20_000  # candidates scored for examples; the numbers use all


def query_examples(sides: Sides, ranks: Ranks, similarity: Similarity, n: int) -> list[dict[str, Any]]:
    """`n` of the best and `n` of the worst queries of each direction, each with its first candidates."""
    found = []
    for forward, rank in ((True, ranks.forward), (False, ranks.backward)):
        asked = (~rank.isnan()).nonzero().flatten()
        order = asked[torch.argsort(rank[asked], stable=True)]
        first = order[rank[order] <= max(1.0, float(rank[order[0]]))] if len(order) else order
        good = first[torch.linspace(0, len(first) - 1, min(n, len(first))).long()] if n else first[:0]
        bad = [q for q in order.flip(0)[:n].tolist() if q not in set(good.tolist())]
        for kind, queries in (("good", good.tolist()), ("bad", bad)):
            found += [_query(sides, similarity, forward, q, float(rank[q]), kind) for q in queries]
    return found


def _query(sides: Sides, similarity: Similarity, forward: bool, q: int, rank: float, kind: str) -> dict[str, Any]:
    scores, right = _scores(sides, similarity, forward, q)
    top = torch.argsort(scores, descending=True, stable=True)[:_SHOWN].tolist()
    best = max(right, key=lambda j: float(scores[j])) if right else None
    return {
        "kind": "query",
        "direction": f"{sides.a}->{sides.b}" if forward else f"{sides.b}->{sides.a}",
        "quality": kind,
        "rank": rank,
        "query": _place(sides, forward, q),
        "found": [
            {**_place(sides, not forward, j), "score": round(float(scores[j]), 4), "right": j in right} for j in top
        ],
        "answer": None
        if best is None
        else {**_place(sides, not forward, best), "score": round(float(scores[best]), 4)},
    }


def _scores(sides: Sides, similarity: Similarity, forward: bool, q: int) -> tuple[Tensor, set[int]]:
    """Scores of one query against the candidates (the first many of a large set), and its right answers."""
    pick = slice(q, q + 1)
    if forward:
        scores, _ = score_pair(similarity, sides.prepared_a, sides.prepared_b, pick, slice(0, _MOST))
        right = sides.relation.edges(q, q + 1)[1]
    else:
        _, scores = score_pair(similarity, sides.prepared_a, sides.prepared_b, slice(0, _MOST), pick)
        right = sides.relation.of_b(q)
    scores = scores.flatten()
    return scores, {j for j in right.tolist() if j < len(scores)}


def _place(sides: Sides, of_a: bool, item: int) -> dict[str, Any]:
    """Where the report finds the value again."""
    row, alternative = (sides.where_a if of_a else sides.where_b)[item]
    stream = sides.a if of_a else sides.b
    return {"stream": stream, "row": row, "alternative": alternative, "id": sides.data.source.sample_id(row)}


def matrix_example(sides: Sides, similarity: Similarity, n: int) -> list[dict[str, Any]]:
    """Scores of `n` items of a against their first right answers in b, evenly spread; all different."""
    rows: list[int] = []
    columns: list[int] = []
    total = sides.relation.sizes[0]
    order = [i * total // max(n, 1) for i in range(min(n, total))] if n < total else list(range(total))
    for i in order:
        free = [j for j in sides.relation.edges(i, i + 1)[1].tolist() if j not in columns]
        if free:
            rows.append(i)
            columns.append(free[0])
    if len(rows) < 2 or not n:
        return []
    scores, _ = score_pair(similarity, sides.prepared_a, sides.prepared_b, rows, columns)
    return [
        {
            "kind": "matrix",
            "a": [_place(sides, True, i) for i in rows],
            "b": [_place(sides, False, j) for j in columns],
            "scores": [[round(x, 4) for x in line] for line in scores.tolist()],
        }
    ]
