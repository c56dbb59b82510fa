"""Averages over right answers instead of queries: what many rows share counts once."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from anyclip.evaluation.relation import Relation


def over_targets(relation: Relation, values: np.ndarray, *, forward: bool, block: int = 1024) -> np.ndarray:
    """values [Q, K], one row per item that asks -> [T, K]: per item of the other side the mean of its queries.

    forward: side a asks. Queries whose values are NaN ask nothing; items that no query belongs to are left out.
    """
    given = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64))
    asked = ~given.isnan().any(dim=1)
    given = torch.where(asked[:, None], given, 0.0)
    targets = relation.sizes[1 if forward else 0]
    sums, counts = torch.zeros(targets, given.shape[1], dtype=torch.float64), torch.zeros(targets, dtype=torch.float64)
    for start in range(0, relation.sizes[0], block):
        i, j = relation.edges(start, min(start + block, relation.sizes[0]))
        query, target = (i, j) if forward else (j, i)
        sums.index_add_(0, target, given[query])
        counts.index_add_(0, target, asked[query].double())
    found = counts > 0
    return (sums[found] / counts[found, None]).numpy()


def hits(ranks: Tensor, ks: list[int]) -> np.ndarray:
    """[Q, K]: whether each rank is within each K, as 0 or 1; NaN where nothing was asked."""
    within = np.stack([(ranks <= k).double().numpy() for k in ks], axis=1)
    within[ranks.isnan().numpy()] = np.nan
    return within
