"""Embedding values: order, batch mates, broken values, restored modes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from anyclip.config import config_from_dict
from anyclip.inference import embed_values
from anyclip.model import build_model


@pytest.fixture
def model():
    tower = {"name": "toy/mlp", "options": {"size": 8, "width": 16, "dropout": 0.5, "noise": 1.0}}
    config = config_from_dict({"model": {"dim": 4, "towers": {"left": tower, "right": {**tower, "freeze": True}}}})
    return build_model(config.model, seed=0).train()


def values(n):
    return list(np.random.default_rng(0).standard_normal((n, 8)).astype(np.float32))


@pytest.mark.parametrize("workers", [0, 3])
def test_same_vector_whatever_the_batch(model, workers):
    table = values(23)
    whole = embed_values(model, "left", table, batch_size=23).vectors
    assert torch.allclose(whole.norm(dim=1), torch.ones(23))
    for size in (1, 7):
        got = embed_values(model, "left", table[::-1], batch_size=size, workers=workers)
        assert (got.vectors.flip(0) - whole).abs().max() < 1e-6
    assert torch.equal(embed_values(model, "left", table, batch_size=23, workers=workers).vectors, whole)


def test_modes_are_restored_and_results_may_be_trained_on(model):
    before = {name: m.training for name, m in model.named_modules()}
    vectors = embed_values(model, "left", values(2)).vectors
    assert {name: m.training for name, m in model.named_modules()} == before
    (vectors * torch.ones(4, requires_grad=True)).sum().backward()


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_values_are_reported_with_their_place(model, workers):
    table = values(9)
    table[2], table[5] = np.zeros(3, dtype=np.float32), np.full(8, np.nan, dtype=np.float32)
    got = embed_values(model, "left", table, batch_size=4, workers=workers)
    assert got.rows.tolist() == [0, 1, 3, 4, 6, 7, 8]
    assert [i for i, _ in got.errors] == [2, 5]
    assert "has 3 values, the tower takes 8" in got.errors[0][1]
    assert len(got.vectors) == 7


def test_nothing_usable(model):
    got = embed_values(model, "left", ["/gone.npy"])
    assert got.vectors.shape == (0, 4)
    assert len(got.errors) == 1
    assert embed_values(model, "left", []).vectors.shape == (0, 4)


def test_a_model_that_gives_nan_is_reported(model):
    with torch.no_grad():
        model.projection("left").weight.fill_(torch.nan)
    got = embed_values(model, "left", values(2))
    assert [reason for _, reason in got.errors] == ["the model's vector is not finite"] * 2
