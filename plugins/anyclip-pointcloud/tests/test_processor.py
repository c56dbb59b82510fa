"""The processor: points of a budget, axes, normalisation, colours, normals, augmentation."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from anyclip_pointcloud.augment import rotation
from anyclip_pointcloud.cloud import PointWarning
from anyclip_pointcloud.normals import estimate_normals
from anyclip_pointcloud.options import PointOptions
from anyclip_pointcloud.processor import PointProcessor, evenly, spiral
from anyclip_pointcloud.strengths import Augment, augment_from

from anyclip import BadSample

from .conftest import cloud


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def processor(**options) -> PointProcessor:
    return PointProcessor(PointOptions(**{"points": 64, **options}))


def load(value, train: np.random.Generator | None = None, **options) -> dict[str, np.ndarray]:
    return {name: x.numpy() for name, x in processor(**options).load(value, rng=train).items()}


def rows_of(points: np.ndarray, among: np.ndarray) -> list[int]:
    """Which rows of `among` the points are."""
    distances = np.abs(points[:, None] - among[None]).max(axis=2)
    assert (distances.min(axis=1) < 1e-5).all()
    return distances.argmin(axis=1).tolist()


def test_samples_are_what_the_contract_says():
    sample = processor(colors=True, normals=True).load(cloud(columns=6))
    assert set(sample) == {"points", "colors", "normals"}
    assert {(x.shape, x.dtype) for x in sample.values()} == {((64, 3), torch.float32)}
    assert set(processor().load(cloud())) == {"points"}
    batch = processor(colors=True).collate([sample, sample])
    assert batch["points"].shape == batch["colors"].shape == (2, 64, 3)


def test_the_same_value_gives_the_same_points(tmp_path):
    np.save(tmp_path / "x.npy", cloud(500))
    first = load(str(tmp_path / "x.npy"))
    for value in (str(tmp_path / "x.npy"), (tmp_path / "x.npy").read_bytes(), cloud(500), torch.from_numpy(cloud(500))):
        assert np.array_equal(first["points"], load(value)["points"])


def test_normalisation_puts_the_cloud_into_the_unit_sphere():
    far = cloud(64) * 7 + np.array([3e6, -2, 5e5])  # float64: a georeferenced cloud
    points = load(far)["points"]
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-5)
    assert np.linalg.norm(points, axis=1).max() == pytest.approx(1, abs=1e-6)
    boxed = load(far, normalize="box")["points"]
    np.testing.assert_allclose(boxed.max(axis=0) + boxed.min(axis=0), 0, atol=1e-5)
    plain = load(cloud(64), normalize="none", sample="first")["points"]
    np.testing.assert_allclose(plain, cloud(64), atol=1e-6)
    for scale in (1e-30, 1e30):
        np.testing.assert_allclose(
            load(cloud(64).astype(np.float64) * scale)["points"], load(cloud(64))["points"], atol=1e-4
        )


def test_clouds_without_extent_and_of_one_point():
    for value in (np.full((512, 3), 3.0), np.ones((1, 3))):
        assert (load(value)["points"] == 0).all()
        assert np.isfinite(load(value, normals=True)["normals"]).all()
    few = load(cloud(3), sample="farthest")["points"]
    assert len(np.unique(few, axis=0)) == 3
    with pytest.raises(BadSample, match="too large"):
        load(cloud(64).astype(np.float64) * 1e300)


def test_the_up_axis_is_turned():
    points = cloud(64)
    turned = load(points, up="z", normalize="none", sample="first")["points"]
    np.testing.assert_allclose(turned, points[:, [0, 2, 1]] * (1, 1, -1), atol=1e-6)
    for up in "xyz":
        for tower_up in "xyz":
            found = load(points, up=up, tower_up=tower_up, normalize="none", sample="first")["points"]
            np.testing.assert_allclose(found[:, "xyz".index(tower_up)], points[:, "xyz".index(up)], atol=1e-6)
            matrix = np.linalg.lstsq(points, found, rcond=None)[0]
            assert np.linalg.det(matrix) == pytest.approx(1, abs=1e-4)  # a rotation, no mirror


def test_normals_turn_with_the_points():
    points = spiral(300)
    sample = load(
        {"points": points, "normals": points}, normals=True, up="z", points=300, train=rng(), augment="strong", drop=0.0
    )
    turned = sample["points"] - sample["points"].mean(axis=0)
    turned /= np.linalg.norm(turned, axis=1, keepdims=True)
    assert np.einsum("nc,nc->n", turned, sample["normals"]).min() > 0.97


def test_points_of_evaluation():
    points = cloud(1000)
    assert rows_of(load(points, sample="first", normalize="none")["points"], points) == list(range(64))
    strided = rows_of(load(points, sample="stride", normalize="none")["points"], points)
    assert strided == evenly(1000, 64).tolist()
    spread = load(points, normalize="none")["points"]
    thin = load(points, normalize="none", sample="stride")["points"]

    def closest(x: np.ndarray) -> float:
        distances = np.linalg.norm(x[:, None] - x[None], axis=2)
        return float((distances + 9 * np.eye(len(x))).min())

    assert closest(spread) > 3 * closest(thin)
    pooled = rows_of(load(points, pool=100, normalize="none")["points"], points)
    assert set(pooled) <= set(evenly(1000, 100).tolist())


def test_points_of_training_are_drawn_from_the_generator():
    points = cloud(1000)
    one, same, other = (load(points, rng(seed))["points"] for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    rows = rows_of(load(points, rng(), normalize="none")["points"], points)
    assert len(set(rows)) == 64
    fewer = rows_of(load(points[:40], rng(), normalize="none")["points"], points)
    assert set(fewer) == set(range(40))
    kept = load(points, rng(), train_sample="same")["points"]
    assert np.array_equal(kept, load(points)["points"])


def test_colours_follow_their_points_and_missing_ones_are_constant():
    value = cloud(500, columns=6)
    sample = load(value, colors=True, normalize="none")
    rows = rows_of(sample["points"], value[:, :3])
    np.testing.assert_allclose(sample["colors"], value[rows, 3:], atol=1e-6)
    assert (load(cloud(), colors=True)["colors"] == np.float32(0.4)).all()
    assert (load(cloud(), colors=True, missing_color=0.0)["colors"] == 0).all()


def test_estimated_normals_are_those_of_the_surface():
    ball = spiral(500)
    normals = estimate_normals(ball * (1, 1, 1) + 5)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    assert np.einsum("nc,nc->n", normals, ball).min() > 0.99
    assert load(ball, normals=True)["normals"].shape == (64, 3)


def test_outliers_are_left_out_with_a_warning():
    points = np.concatenate([cloud(500), [[500.0, 0, 0]]])
    with pytest.warns(PointWarning, match="1 of 501 points lie far outside"):
        sample = load(points)["points"]
    assert np.linalg.norm(sample, axis=1).mean() > 0.4
    assert np.linalg.norm(load(points, outliers=None)["points"], axis=1).mean() < 0.2
    with pytest.warns(PointWarning, match="left out"):
        load(points, outliers=3.0)


def test_a_part_far_away_is_no_outlier(recwarn):
    load(np.concatenate([cloud(500), cloud(50) + 100]))
    assert not recwarn.list


def test_rotation_about_up():
    value = cloud(64)
    for tower_up in range(3):
        found = load(
            value,
            rng(),
            rotate=180.0,
            sample="first",
            train_sample="same",
            up="xyz"[tower_up],
            tower_up="xyz"[tower_up],
        )
        still = load(value, sample="first", up="xyz"[tower_up], tower_up="xyz"[tower_up])
        np.testing.assert_allclose(found["points"][:, tower_up], still["points"][:, tower_up], atol=1e-6)
        assert np.abs(found["points"] - still["points"]).max() > 0.05
        np.testing.assert_allclose(
            np.linalg.norm(found["points"], axis=1), np.linalg.norm(still["points"], axis=1), atol=1e-6
        )


def test_rotation_matrices():
    np.testing.assert_allclose(rotation(np.array([0, 0, np.pi / 2])) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(rotation(np.array([np.pi / 2, 0, 0])) @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(rotation(np.array([0, np.pi / 2, 0])) @ [0, 0, 1], [1, 0, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("options", "check"),
    [
        ({"scale": 1.5}, lambda a, b: 1 / 1.5 <= np.linalg.norm(a) / np.linalg.norm(b) <= 1.5),
        ({"shift": 0.2}, lambda a, b: np.ptp(a - b, axis=0).max() < 1e-6 and np.abs(a - b).max() <= 0.2 + 1e-6),
        ({"jitter": 0.02}, lambda a, b: 0.01 < (a - b).std() < 0.03 and np.abs(a - b).max() <= 0.1 + 1e-6),
        ({"tilt": 20.0}, lambda a, b: np.allclose(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1), atol=1e-6)),
    ],
)
def test_parts_of_the_augmentation(options, check):
    still = load(cloud(64), sample="first")["points"]
    for seed in range(5):
        changed = load(cloud(64), rng(seed), sample="first", train_sample="same", **options)["points"]
        assert not np.array_equal(changed, still)
        assert check(changed, still)


def test_dropped_points_repeat_the_first_with_its_colour():
    value = cloud(64, columns=6)
    still = load(value, sample="first", colors=True)
    shares = []
    for seed in range(20):
        sample = load(value, rng(seed), sample="first", train_sample="same", drop=0.5, colors=True)
        same = (sample["points"] == still["points"]).all(axis=1)
        assert (sample["points"][~same] == still["points"][0]).all()
        assert (sample["colors"][~same] == still["colors"][0]).all()
        shares.append(1 - same.mean())
    assert 0.1 < np.mean(shares) < 0.4
    assert max(shares) > 0.3


def test_colours_are_dropped_with_their_probability():
    value = cloud(64, columns=6)
    gone = [
        bool((load(value, rng(i), colors=True, color_drop=0.5)["colors"] == np.float32(0.4)).all()) for i in range(40)
    ]
    assert 8 < sum(gone) < 32


def test_deterministic_is_told_as_it_is():
    assert processor(train_sample="same").deterministic
    assert PointOptions(train_sample="same").deterministic
    for options in ({}, {"train_sample": "same", "jitter": 0.1}, {"train_sample": "same", "augment": "light"}):
        assert not processor(**options).deterministic
        assert not PointOptions(**options).deterministic
    given = {"augment": "light", "rotate": 0.0, "jitter": 0.0, "scale": 1.0}
    assert augment_from(PointOptions(**given)) == Augment()
    assert (
        processor(train_sample="same", **given).deterministic
        == PointOptions(train_sample="same", **given).deterministic
    )


def test_placeholder_and_key():
    one = processor(colors=True, normals=True)
    assert {k: v.shape for k, v in one.placeholder().items()} == dict.fromkeys(("points", "colors", "normals"), (64, 3))
    assert pickle.loads(pickle.dumps(one)).key() == one.key() != processor(colors=True).key()
