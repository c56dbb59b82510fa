"""Batches of rows of similar length."""

from __future__ import annotations

import numpy as np
import pytest

from anyclip.config.schema import Named, SourceConfig
from anyclip.data.length_groups import POOL, grouped
from anyclip.data.loading import TrainData
from anyclip.data.sampler import MixtureSampler
from anyclip.errors import UserError

from .conftest import data, words


def lengths(n: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(1, 20, n).astype(np.float32)


def spread(rows: np.ndarray, of: np.ndarray) -> float:
    """Mean share of padding of batches [K, N]."""
    found = of[rows]
    return float(1 - (found.sum(axis=1) / (found.max(axis=1) * rows.shape[1])).mean())


def test_batches_are_alike_complete_and_in_random_order():
    of = lengths(8 * POOL * 3 + 5)
    plain = MixtureSampler([len(of)], [1], 8, seed=3)
    alike = MixtureSampler([len(of)], [1], 8, seed=3, lengths=[of])
    steps = len(of) // 8
    one, other = (np.stack([s.batch(i)[:, 2] for i in range(steps)]) for s in (plain, alike))
    assert spread(other, of) < 0.1 < 0.3 < spread(one, of)
    assert len(np.unique(other)) == 8 * steps
    assert set(range(len(of))) - set(other.flat) == set(range(len(of))) - set(one.flat)  # what is left out is random
    means = of[other].mean(axis=1)
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.3
    second = np.stack([alike.batch(steps + i)[:, 2] for i in range(steps)])
    assert not {frozenset(b) for b in other.tolist()} & {frozenset(b) for b in second.tolist()}
    again = MixtureSampler([len(of)], [1], 8, seed=3, lengths=[of])
    assert np.array_equal(again.batch(steps + 7), alike.batch(steps + 7))


def test_less_than_a_pool():
    order = np.arange(10)[::-1].copy()
    found = grouped(order, lengths(10), 4, np.random.default_rng(0))
    assert sorted(found) == list(range(10))
    assert found[8:].tolist() == order[8:].tolist()
    assert grouped(order[:3], lengths(10), 4, np.random.default_rng(0)).tolist() == order[:3].tolist()


def opened(config: SourceConfig, **more) -> TrainData:
    return TrainData(data(config, batch_size=4, **more), words("words"), seed=0)


def test_lengths_are_a_column_of_the_data(table):
    rows = [{"words": "a", "seconds": float(i % 8)} for i in range(32)]
    rows[5]["seconds"] = None
    rows[6]["seconds"] = "2.5"
    sampler = opened(table(rows, length="seconds")).sampler
    assert isinstance(sampler, MixtureSampler)
    found = sampler.lengths[0]
    assert found is not None
    assert found[5:8].tolist() == [0.0, 2.5, 7.0]
    for step in range(8):
        assert np.ptp(found[sampler.batch(step)[:, 2]]) <= 2


def test_mistakes_are_named(table):
    rows = [{"words": "a", "seconds": 1.0} for _ in range(8)]
    with pytest.raises(
        UserError, match=r"length names the column 'second', which is not there\. +Found: words, seconds"
    ):
        opened(table(rows, length="second"))
    with pytest.raises(UserError, match="the column 'words' holds no lengths"):
        opened(table(rows, length="words"))
    with pytest.raises(UserError, match="length goes with mixing: batch"):
        opened(table(rows, length="seconds"), mixing="sample")
    with pytest.raises(UserError, match="length does not go with another sampler"):
        opened(table(rows, length="seconds"), sampler=Named(name="clusters"))
