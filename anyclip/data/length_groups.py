"""Batches of rows of similar length, which saves padding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from anyclip.errors import BadSample, UserError

POOL = 32  # batches that are sorted together: more mix less, and pad less


def grouped(order: np.ndarray, lengths: np.ndarray, batch_size: int, rng: np.random.Generator) -> np.ndarray:
    """A permutation of rows -> one whose consecutive batches hold rows of similar length, in random order.

    Rows are sorted within pools of `POOL` batches, so that a batch of one pass is another in the next. The rows at the
    end that do not fill a batch stay where they are: they are random, not the longest.
    """
    whole = len(order) // batch_size * batch_size
    batches = []
    for start in range(0, whole, POOL * batch_size):
        pool = order[start : min(start + POOL * batch_size, whole)]
        batches.append(pool[np.argsort(lengths[pool], kind="stable")].reshape(-1, batch_size))
    every = np.concatenate(batches) if batches else order[:0].reshape(0, batch_size)
    rng.shuffle(every)
    return np.concatenate([every.reshape(-1), order[whole:]])


def read_lengths(source: Any, column: str) -> np.ndarray:
    """float32 [rows]: a column of numbers of a dataset; 0 where a row is broken or has none.

    source: a `Source`. Raises UserError for a column that is not there or holds no number at all.
    """
    found = source.reader.find(column)
    if found is None:
        columns = ", ".join(source.reader.columns()) or "no columns"
        raise UserError(
            f"length names the column {column!r}, which is not there.", where=source.name, hint=f"Found: {columns}."
        )
    lengths = np.array([_number(source, row, found) for row in range(len(source))], dtype=np.float32)
    if not lengths.any():
        raise UserError(f"length: the column {column!r} holds no lengths.", where=source.name)
    return lengths


def _number(source: Any, row: int, column: str) -> float:
    try:
        value = float(source.reader.value(row, column))
    except (BadSample, TypeError, ValueError):
        return 0.0
    return value if math.isfinite(value) else 0.0
