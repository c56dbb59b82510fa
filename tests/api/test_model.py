"""anyclip.load and Model.embed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import anyclip
from anyclip.errors import CheckpointError, UserError


@pytest.fixture
def model(folder):
    return anyclip.load(folder)


def vector(seed=0):
    return np.random.default_rng(seed).standard_normal(8).astype(np.float32)


def test_one_value_or_many(model, files):
    one = model.embed(left=files[0])["left"]
    many = model.embed(left=files[:3], right=[vector()])
    assert one.shape == (1, 6)
    assert many["left"].shape == (3, 6)
    assert many["right"].shape == (1, 6)
    assert torch.allclose(many["left"][0], one[0], atol=1e-6)
    assert torch.allclose(many["left"].norm(dim=1), torch.ones(3))
    assert torch.equal(model.embed(left=Path(files[0]))["left"], one)
    assert torch.equal(model.embed(left=iter(files[:1]))["left"], one)


def test_two_streams_give_a_matrix_and_more_a_dict(model, files):
    matrix = model.similarity(left=files[:4], right=files[:3])
    assert matrix.shape == (4, 3)
    assert torch.allclose(matrix.diagonal(), torch.ones(3), atol=1e-6)  # equal weights
    assert model.similarity(left=files[:4]).shape == (4, 4)


def test_dim_keeps_the_first_numbers(model, files):
    whole = model.embed(left=files, normalize=False)["left"]
    cut = model.embed(left=files, dim=2)["left"]
    assert torch.allclose(cut, torch.nn.functional.normalize(whole[:, :2], dim=1), atol=1e-6)
    with pytest.raises(UserError, match="not between 1 and the model's width 6"):
        model.embed(left=files, dim=7)


def test_bad_values_raise_or_become_nan_or_are_skipped(model, files):
    values = [files[0], "gone.npy", files[1], np.zeros(3)]
    with pytest.raises(UserError, match=r"left\[1\] \(gone.npy\): .* 1 more of 4 values"):
        model.embed(left=values)
    nan = model.embed(left=values, errors="nan")["left"]
    assert nan.isnan().any(1).tolist() == [False, True, False, True]
    assert model.embed(left=values, errors="skip")["left"].shape == (2, 6)
    with pytest.raises(UserError, match="Did you mean skip"):
        model.embed(left=values, errors="skipp")


def test_names(model):
    assert model.streams == ["left", "right"]
    assert model.modalities == {"left": "toy", "right": "toy"}
    assert model.supports("left", "right")
    assert not model.supports("toy")  # two streams have it
    with pytest.raises(UserError, match="Did you mean left"):
        model.embed(letf=[vector()])
    with pytest.raises(UserError, match="left and right are both toy"):
        model.embed(toy=[vector()])
    with pytest.raises(UserError, match="nothing to embed"):
        model.embed()


def test_results_can_be_trained_on(model, files):
    x = model.embed(left=files)["left"]
    torch.nn.functional.linear(x, torch.ones(1, 6, requires_grad=True)).sum().backward()


def test_digest_is_of_weights_not_of_places(model, folder, tmp_path):
    again = anyclip.load(model.save(tmp_path / "copy"))
    assert again.digest() == model.digest()
    with torch.no_grad():
        again.joint.projection("left").weight[0, 0] += 1e-3
    assert again.digest() != model.digest()


def test_nothing_there():
    with pytest.raises(CheckpointError, match="no such file"):
        anyclip.load("/nowhere/run")
    with pytest.raises(UserError, match=r"unknown importer 'no-such'"):
        anyclip.import_checkpoint("no-such", {})
