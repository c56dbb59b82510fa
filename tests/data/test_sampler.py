"""The order of samples: shares, passes, and that it is a function of the step alone."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest

from anyclip.data.sampler import MixtureSampler, Sampler
from anyclip.data.shares import Shares
from anyclip.errors import UserError


@pytest.mark.parametrize("weights", [[1.0], [0.1, 0.2, 0.7], [3, 1], [1e-9, 1], [1 / 3] * 3, [5, 1, 1, 1, 0.37]])
def test_every_slot_has_one_owner_and_shares_hold_at_any_time(weights):
    shares = Shares(weights)
    counts = [shares.counts(t) for t in range(2000)]
    for t, (before, after) in enumerate(pairwise(counts)):
        steps = np.subtract(after, before)
        assert steps.min() >= 0
        assert steps.sum() == 1
        assert shares.owner(t) == (int(steps.argmax()), before[int(steps.argmax())])
    exact = np.outer(np.arange(2000), np.array(weights) / sum(weights))
    assert np.abs(np.array(counts) - exact).max() < 1.5


def test_shares_hold_far_into_a_run():
    counts = Shares([0.1, 0.2, 0.7]).counts(10**15)
    assert sum(counts) == 10**15
    assert np.abs(np.array(counts) - 10**15 * np.array([0.1, 0.2, 0.7])).max() <= 2


def test_weights_must_be_positive():
    with pytest.raises(ValueError, match="positive"):
        Shares([1, 0])


def passes(sampler: MixtureSampler, dataset: int, steps: int) -> dict[int, list[int]]:
    """epoch -> rows in order."""
    found: dict[int, list[int]] = {}
    for step in range(steps):
        for epoch, d, row in sampler.batch(step).tolist():
            if d == dataset:
                found.setdefault(epoch, []).append(row)
    return found


def test_a_pass_drops_its_tail_and_each_pass_drops_other_rows():
    sampler = MixtureSampler([103], [1.0], 10, seed=3)
    assert isinstance(sampler, Sampler)
    assert (sampler.dropped, sampler.steps_per_epoch) == ([3], 10.0)
    found = passes(sampler, 0, 100)
    assert list(found) == list(range(10))
    assert all(len(rows) == 100 == len(set(rows)) for rows in found.values())
    assert len({tuple(rows) for rows in found.values()}) == 10
    dropped = [frozenset(range(103)) - set(rows) for rows in found.values()]
    assert len(set(dropped)) == 10
    assert all(len(set(sampler.batch(step)[:, 0].tolist())) == 1 for step in range(100))  # no batch straddles


def test_batches_of_one_dataset_each_by_weight():
    sampler = MixtureSampler([50, 40, 30], [1, 2, 5], 8, seed=0)
    owners = [set(sampler.batch(step)[:, 1].tolist()) for step in range(800)]
    assert all(len(owner) == 1 for owner in owners)
    assert [owners.count({d}) for d in range(3)] == [100, 200, 500]
    # each dataset makes its own passes
    assert sampler.passes(800) == pytest.approx([100 / 6, 200 / 5, 500 / 3])
    assert max(passes(sampler, 2, 800)) == 166
    assert all(len(set(rows)) == len(rows) for rows in passes(sampler, 2, 800).values())


def test_every_batch_of_all_datasets_by_weight():
    sampler = MixtureSampler([50, 43, 31], [1, 2, 5], 16, seed=0, mixing="sample")
    for step in range(200):
        batch = sampler.batch(step)
        counts = np.bincount(batch[:, 1], minlength=3)
        assert batch.shape == (16, 3)
        assert np.abs(counts - np.array([2, 4, 10])).max() <= 1
        # the halves that two processes get are alike
        assert np.abs(np.bincount(batch[:8, 1], minlength=3) - np.array([1, 2, 5])).max() <= 1
    for dataset, size in enumerate([50, 43, 31]):  # nothing is left out, nothing comes twice
        found = passes(sampler, dataset, 200)
        assert all(sorted(rows) == list(range(size)) for epoch, rows in found.items() if epoch < max(found))
    assert sampler.dropped == [0, 0, 0]
    assert sampler.steps_per_epoch == 124 / 16


@pytest.mark.parametrize("mixing", ["batch", "sample"])
def test_any_step_first_and_quickly(mixing):
    def make():
        return MixtureSampler([100_000, 3000], [3, 1], 64, seed=7, mixing=mixing)

    running, expected = make(), {}
    for step in range(3000):
        batch = running.batch(step)
        if step >= 2990:
            expected[step] = batch
    for step in reversed(expected):
        assert np.array_equal(make().batch(step), expected[step])
    start = time.process_time()
    make().batch(1_000_000)
    assert time.process_time() - start < 0.5


def test_the_seed_decides():
    batches = [MixtureSampler([100], [1], 10, seed=seed).batch(0).tolist() for seed in (0, 0, 1)]
    assert batches[0] == batches[1] != batches[2]


def test_two_datasets_of_one_size_have_orders_of_their_own():
    sampler = MixtureSampler([64, 64], [1, 1], 64, seed=0)
    assert sampler.batch(0)[:, 2].tolist() != sampler.batch(1)[:, 2].tolist()


def test_a_dataset_smaller_than_the_batch_is_refused():
    with pytest.raises(UserError) as caught:
        MixtureSampler([100, 5], [1, 1], 8, seed=0, names=["big", "manifest small.jsonl"])
    assert str(caught.value) == (
        "manifest small.jsonl: the dataset has 5 rows, but data.batch_size is 8. "
        "Set data.batch_size to 5 or less, or give more rows."
    )
    MixtureSampler([100, 5], [1, 1], 8, seed=0, mixing="sample")  # 4 of each batch
    with pytest.raises(UserError, match="its weight gives it 6 rows of each batch of 8"):
        MixtureSampler([100, 5], [1, 3], 8, seed=0, mixing="sample")
    with pytest.raises(UserError, match="has no rows"):
        MixtureSampler([0], [1], 8, seed=0)
