"""Is one way of training better than another? Recall@K of two sets of runs on the same data, query by query.

    python benchmarks/compare_runs.py --pair points text --k 10 runs/a-0 runs/a-1 --against runs/b-0 runs/b-1

Each query's hits are averaged over the runs of its set; the difference is the mean over queries (and, as `macro`, over
the distinct right answers), its 95 % interval resamples the queries, in pairs. What other seeds would give lies outside
that interval: the difference of each pair of runs is printed too.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch

from anyclip.api.loading import load
from anyclip.checkpoint import find_weights
from anyclip.config import load_config
from anyclip.config.schema import EvalConfig
from anyclip.evaluation import run_evaluations
from anyclip.evaluation.intervals import bootstrap
from anyclip.evaluation.macro import hits, over_targets
from anyclip.evaluation.ranks import Ranks
from anyclip.evaluation.relation import Relation
from anyclip.evaluation.retrieval import Retrieval


def ranked(run: str, pair: list[str]) -> tuple[Relation, Ranks]:
    """Which items belong together, and each query's rank in both directions."""
    kept: list[tuple[Relation, Ranks]] = []
    measure = Retrieval._ranks

    def keep(self, similarity, sides, data):
        ranks = measure(self, similarity, sides, data)
        kept.append((sides.relation, ranks))
        return ranks

    config = load_config(find_weights(run)[0] / "config.yaml")
    config.eval = [EvalConfig(name="retrieval", pair=pair, options={"bootstrap": 0, "examples": 0})]
    Retrieval._ranks = keep  # type: ignore[method-assign]
    try:
        run_evaluations(load(run, device="cpu").joint, config)
    finally:
        Retrieval._ranks = measure  # type: ignore[method-assign]
    return kept[0]


def compare(label: str, first: np.ndarray, second: np.ndarray) -> None:
    """first, second [runs, values]: means, their difference with its interval, and that of each pair of runs."""
    difference = first.mean(axis=0) - second.mean(axis=0)
    low, high = bootstrap(difference, {"": lambda drawn: drawn.mean(axis=1)})[""]
    each = " ".join(f"{100 * (a.mean() - b.mean()):+.1f}" for a, b in zip(first, second))
    print(
        f"{label:<32} {100 * first.mean():5.1f} against {100 * second.mean():5.1f}: {100 * difference.mean():+5.1f} "
        f"[{100 * low:+.1f}, {100 * high:+.1f}]   by run: {each}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--against", nargs="+", type=Path, required=True)
    parser.add_argument("--pair", nargs=2, required=True, metavar="STREAM")
    parser.add_argument("--k", type=int, default=10)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    sets = [[ranked(str(run), chosen.pair) for run in runs] for runs in (chosen.runs, chosen.against)]
    sizes = {relation.sizes for runs in sets for relation, _ in runs}
    if len(sizes) != 1:
        parser.error(f"the runs were not evaluated on the same data: {sizes}")
    for forward in (True, False):
        source, target = chosen.pair if forward else chosen.pair[::-1]
        every = [[hits(r.forward if forward else r.backward, [chosen.k]) for _, r in runs] for runs in sets]
        plain = [np.stack([h[~np.isnan(h[:, 0]), 0] for h in runs]) for runs in every]
        compare(f"{source}->{target} R@{chosen.k}", *plain)
        relation = sets[0][0][0]
        macro = [np.stack([over_targets(relation, h, forward=forward)[:, 0] for h in runs]) for runs in every]
        compare(f"{source}->{target} macro R@{chosen.k}", *macro)


if __name__ == "__main__":
    main()
