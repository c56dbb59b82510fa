"""The softmax family, InfoLOOB and SupCon: options that go together, rows without negatives, limits."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from anyclip.errors import UserError
from anyclip.losses import create_loss


def batch(n=6, dim=5, seed=0):
    g = torch.Generator().manual_seed(seed)
    return [F.normalize(torch.randn(n, dim, generator=g, dtype=torch.float64), dim=-1) for _ in range(2)]


@pytest.mark.parametrize(
    "options",
    [
        {"multi_positive": True, "hardness": 0.5},
        {"multi_positive": True, "label_smoothing": 0.1},
        {"label_smoothing": 0.1, "mask_same_id": True},
        {"sample_weights": True, "margin": 0.1},
        {"hardness": 0.5, "debias": 0.1, "positive_weight": 0.5},
    ],
)
def test_combinations_without_a_published_value_are_refused(options):
    with pytest.raises(UserError, match="combination without a published value"):
        create_loss("infonce", **options)


def test_mistakes_say_what_is_missing():
    with pytest.raises(UserError, match="debias needs hardness"):
        create_loss("infonce", debias=0.1)
    with pytest.raises(UserError, match="by takes two sides"):
        create_loss("infonce", sample_weighting={"by": ["a"]})
    with pytest.raises(UserError, match="one of them above 0"):
        create_loss("infonce", direction_reduction=[0.0, 0.0])
    with pytest.raises(ValueError, match="needs embeddings"):
        create_loss("infonce", sample_weighting={"by": ["b", "a"]}).from_scores(torch.eye(3), torch.eye(3), scale=1.0)
    with pytest.raises(ValueError, match="needs embeddings"):
        create_loss("infoloob", hopfield_scale=8.0).from_scores(torch.eye(3), torch.eye(3), scale=1.0)


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"hardness": 0.0}, {}),
        ({"multi_positive": True}, {"labels": torch.arange(6)}),
        ({"mask_same_id": True}, {"ids": torch.arange(6)}),
        ({"sample_weights": True}, {"sample_weights": torch.full((6,), 3.0, dtype=torch.float64)}),
    ],
)
def test_what_changes_nothing_is_plain_infonce(options, fields):
    a, b = batch()
    got = create_loss("infonce", **options)(a, b, scale=5.0, **fields)
    torch.testing.assert_close(got, create_loss("infonce")(a, b, scale=5.0), rtol=1e-12, atol=1e-12)


def test_several_positives_share_the_target():
    a, b = batch(4)
    labels = torch.tensor([0, 1, 0, 2])
    target = torch.tensor([[0.5, 0, 0.5, 0], [0, 1, 0, 0], [0.5, 0, 0.5, 0], [0, 0, 0, 1]], dtype=torch.float64)
    want = sum(F.cross_entropy(x, target) for x in (3 * a @ b.T, 3 * b @ a.T)) / 2
    got = create_loss("infonce", multi_positive=True)(a, b, scale=3.0, labels=labels)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", [{"positive_weight": 0.0, "mask_same_id": True}, {"mask_same_id": True}])
def test_a_row_without_negatives_gives_nothing_and_no_nan(options):
    a, b = (x.requires_grad_() for x in batch(3))
    loss = create_loss("infonce", **options)(a, b, scale=5.0, ids=torch.zeros(3))
    assert loss.item() == pytest.approx(0, abs=1e-12)
    loss.backward()
    assert bool(torch.isfinite(a.grad).all())


def test_the_floor_keeps_the_logarithm_of_a_debiased_sum():
    a = torch.eye(4, dtype=torch.float64)
    options = {"hardness": 1.0, "debias": 0.4}
    b = a.clone().requires_grad_()
    loss = create_loss("infonce", **options)(a, b, scale=5.0)
    loss.backward()
    assert math.isfinite(loss.item())
    assert bool(torch.isfinite(b.grad).all())
    assert math.isnan(create_loss("infonce", **options, debias_floor=False, positive_weight=1.0)(a, a, scale=5.0))


def test_infoloob_is_decoupled_infonce_over_the_scale():
    a, b = batch()
    got = create_loss("infoloob", direction_reduction="mean")(a, b, scale=7.0)
    want = create_loss("infonce", positive_weight=0.0)(a, b, scale=7.0) / 7.0
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_supcon_counts_both_streams():
    a, b = batch(3)
    labels = torch.tensor([0, 0, 1])
    z, y = torch.cat([a, b]), torch.cat([labels, labels])
    total = 0.0
    for i in range(6):
        others = [j for j in range(6) if j != i]
        log_p = (z[i] @ z[others].T / 0.5).log_softmax(dim=0)
        total -= sum(log_p[k] for k, j in enumerate(others) if y[j] == y[i]) / sum(y[j] == y[i] for j in others)
    got = create_loss("supcon", temperature=0.5, base_temperature=1.0)(a, b, labels=labels)
    torch.testing.assert_close(got, total / 6, rtol=1e-12, atol=1e-12)
