"""Bootstrap intervals, and what a random ranking would score."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Metric = Callable[[np.ndarray], np.ndarray]  # [R, N] resampled values -> [R]
_CELLS = 1 << 20


def bootstrap(
    values: np.ndarray, metrics: Mapping[str, Metric], *, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of metrics of `values` [N], from resamples of the N queries with replacement.

    Queries that share a right answer are taken as independent. The same seed gives the same interval.
    """
    if resamples == 0 or len(values) == 0:
        return {}
    generator = np.random.Generator(np.random.Philox(seed))
    found: dict[str, list[np.ndarray]] = {name: [] for name in metrics}
    step = max(1, _CELLS // len(values))
    for start in range(0, resamples, step):
        picked = generator.integers(0, len(values), (min(step, resamples - start), len(values)), dtype=np.uint32)
        drawn = values[picked]
        for name, metric in metrics.items():
            found[name].append(metric(drawn))
    tail = (1 - level) / 2
    ends = {
        name: np.quantile(np.concatenate(parts), [tail, 1 - tail], method="inverted_cdf")
        for name, parts in found.items()
    }
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def chance_recall(positives: np.ndarray, candidates: int, k: int) -> float:
    """Recall@K of a random order: mean over queries of 1 - C(N - p, K) / C(N, K), p positives among N candidates."""
    if len(positives) == 0:
        return float("nan")
    counts, weights = np.unique(positives, return_counts=True)
    missed = [
        np.prod([max(candidates - p - i, 0) / (candidates - i) for i in range(min(k, candidates))]) for p in counts
    ]
    return float(1 - np.average(missed, weights=weights))


def chance_rank(positives: np.ndarray, candidates: int) -> float:
    """Mean rank of a random order: 1 + (N - p) / (p + 1) negatives lie above the best of p positives."""
    return float(np.mean(1 + (candidates - positives) / (positives + 1))) if len(positives) else float("nan")


def chance_median(positives: np.ndarray, candidates: int) -> float:
    """Median rank of a random order (exact for one positive, close for several)."""
    if len(positives) == 0:
        return float("nan")
    return float(np.median(1 + (candidates - positives) * (1 - 0.5 ** (1 / positives))))
