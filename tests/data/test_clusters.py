"""The sampler `clusters`: near items together, the same batches on every process and after a resume."""

from __future__ import annotations

import numpy as np
import pytest

from anyclip.data.data_sampler import create_sampler
from anyclip.errors import UserError

ITEMS, GROUP, TAKE, BATCH = 40, 4, 2, 8  # 4 items a batch, 10 batches a pass


def made(rows=ITEMS * GROUP, batch_size=BATCH, ahead=1, **options):
    options = {"group": GROUP, "take": TAKE, "lag": 2, **options}
    about = {"sizes": [rows], "names": ["videos"], "batch_size": batch_size, "streams": ["x", "y"], "ahead": ahead}
    return create_sampler("clusters", options, seed=3, **about)


def vectors_of(items: np.ndarray, noise: np.random.Generator | None = None) -> np.ndarray:
    """Five directions: item k lies near direction k % 5."""
    found = np.eye(5, dtype=np.float32)[items % 5]
    return found if noise is None else found + 0.01 * noise.standard_normal(found.shape).astype(np.float32)


def trained(sampler, steps: int, start: int = 0) -> list[np.ndarray]:
    """The batches of steps, each shown to the sampler as a run would."""
    batches = []
    for step in range(start, steps):
        batch = sampler.batch(step)
        batches.append(batch)
        items = batch[:, 2] // GROUP
        noise = np.random.default_rng(step)
        places = np.arange(len(items))
        vectors = vectors_of(items, noise)
        sampler.observe(step, {"x": (places, vectors), "y": (places[::2], vectors[::2])})
    return batches


def test_the_first_pass_holds_every_item_once():
    batches = trained(made(), 10)
    items = np.concatenate([batch[::TAKE, 2] // GROUP for batch in batches])
    assert sorted(items) == list(range(ITEMS))
    assert all((batch[:, :2] == 0).all() and batch.dtype == np.int64 for batch in batches)
    for batch in batches:
        assert (batch[0::2, 2] // GROUP == batch[1::2, 2] // GROUP).all()


def test_later_passes_put_near_items_together():
    batches = trained(made(), 30)
    for batch in batches[20:]:
        items = batch[::TAKE, 2] // GROUP
        assert len(set(items)) == 4
        assert len(set(items % 5)) == 1  # of one direction
    first = sorted(batch[0, 2] // GROUP for batch in batches[20:])
    assert len(set(first)) == 10  # each batch begins with another item
    assert any(len({int(i) % 5 for i in batch[::TAKE, 2] // GROUP}) > 1 for batch in batches[:10])


def test_a_pool_as_large_as_the_batch_is_the_nearest_themselves():
    close = trained(made(pool=1.0), 30)
    wide = trained(made(pool=8.0), 30)
    assert all(len(set(batch[::TAKE, 2] // GROUP % 5)) == 1 for batch in close[20:])
    assert any(len(set(batch[::TAKE, 2] // GROUP % 5)) > 1 for batch in wide[20:])


def test_other_rows_of_an_item_come_in_the_next_pass():
    sampler = made(random_passes=100)
    one, two = (np.concatenate([sampler.batch(10 * epoch + i)[:, 2] for i in range(10)]) for epoch in (0, 1))
    assert sorted([*one, *two]) == list(range(ITEMS * GROUP))


@pytest.mark.parametrize("ahead", [2, 25])
def test_batches_do_not_depend_on_how_far_ahead_they_are_asked(ahead):
    """A loader that is some steps, or some passes, ahead sees what one without workers sees."""
    plain, early = made(lag=ahead), made(lag=ahead, ahead=ahead)
    wanted = trained(plain, 60 + ahead)
    found = [early.batch(step) for step in range(ahead)]
    for step in range(60):
        found.append(early.batch(step + ahead))
        items = wanted[step][:, 2] // GROUP
        places, vectors = np.arange(len(items)), vectors_of(items, np.random.default_rng(step))
        early.observe(step, {"x": (places, vectors), "y": (places[::2], vectors[::2])})
    assert all((a == b).all() for a, b in zip(wanted, found))
    assert len(early.state_dict()) < 4 * ahead + 10  # what is over is forgotten


@pytest.mark.parametrize("stop", [1, 9, 10, 19, 20, 27])
def test_a_resumed_run_has_the_same_batches(stop):
    wanted = trained(made(), 40)
    first = made()
    trained(first, stop)
    first.batch(stop + 1)  # the loader had asked already
    second = made()
    second.load_state_dict(first.state_dict())
    assert all((a == b).all() for a, b in zip(trained(second, 40, stop), wanted[stop:]))


def test_values_that_are_not_finite_are_not_kept():
    sampler = made()
    for step in range(20):
        items = sampler.batch(step)[:, 2] // GROUP
        vectors = np.where((items % 5 == 0)[:, None], np.nan, vectors_of(items))
        sampler.observe(step, {"x": (np.arange(len(items)), vectors)})
    batch = sampler.batch(20)
    assert len(set(batch[::TAKE, 2])) == 4
    known = sampler.state_dict()["known"]
    assert np.isfinite(known).all()
    assert not known[::5].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 41}, "videos has 41 rows, which is not a multiple of group (4). Every item has `group` consecutive"),
        ({"rows": 12}, "videos has 3 items, but a batch holds 4. Set data.batch_size to 6 or less."),
        ({"batch_size": 7}, "data.batch_size (7) is not a multiple of take (2)."),
        ({"ahead": 9}, "lag (2) must be at least 9: the loader is so many steps ahead. Raise it, or lower"),
        ({"streams": ["z"]}, "clusters wants the embeddings of z, which is not trained. Trained: x, y."),
        ({"take": 3}, "group (4) must be a multiple of take (3)"),
    ],
)
def test_what_does_not_fit_is_an_error(change, message):
    with pytest.raises(UserError) as caught:
        made(**change)
    assert message in str(caught.value)
