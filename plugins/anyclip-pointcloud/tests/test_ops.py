"""Point operations against brute force, and against open3d where it is installed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from anyclip_pointcloud.ops import ball_query, farthest_indices, farthest_point_sample, gather, group, knn

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def clouds(b: int = 2, n: int = 300, seed: int = 0) -> torch.Tensor:
    return torch.randn(b, n, 3, generator=torch.Generator().manual_seed(seed))


def farthest_by_hand(cloud: np.ndarray, k: int, start: int) -> list[int]:
    chosen = [start]
    while len(chosen) < k:
        distances = ((cloud[:, None].astype(np.float64) - cloud[chosen][None]) ** 2).sum(-1).min(axis=1)
        chosen.append(int(distances.argmax()))
    return chosen


@pytest.mark.parametrize("device", DEVICES)
def test_farthest_points_are_those_of_the_definition(device):
    points = clouds()
    start = torch.tensor([7, 250])
    index = farthest_point_sample(points.to(device), 40, start=start).cpu()
    for cloud, row, first in zip(points, index, start):
        assert row.tolist() == farthest_by_hand(cloud.numpy(), 40, int(first))


def test_the_tensor_path_equals_the_numpy_path(monkeypatch):
    points = clouds(3, 500)
    index = farthest_point_sample(points, 64, start=5)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)  # then numpy cannot be used
    monkeypatch.setattr("anyclip_pointcloud.ops.farthest_indices", None)
    assert torch.equal(index, farthest_point_sample(points, 64, start=5))


def test_a_generator_draws_the_first_points():
    points = clouds(8)
    one, two = (farthest_point_sample(points, 3, start=torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(one, two)
    assert len(set(one[:, 0].tolist())) > 1


def test_more_points_than_there_are_repeat():
    index = farthest_point_sample(clouds(1, 4), 7)
    assert sorted(set(index[0].tolist())) == [0, 1, 2, 3]
    assert index.shape == (1, 7)
    same = farthest_point_sample(torch.zeros(1, 5, 3), 3)
    assert same.tolist() == [[0, 0, 0]]
    with pytest.raises(ValueError, match=r"\[B, N, 3\], not \[4, 3\]"):
        farthest_point_sample(torch.zeros(4, 3), 2)


def test_open3d_chooses_the_same_points():
    o3d = pytest.importorskip("open3d")
    cloud = clouds(1, 2000)[0].numpy()
    index = farthest_indices(cloud, 128)
    theirs = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(cloud.astype(float))).farthest_point_down_sample(128)
    ours = cloud[index].astype(float)
    np.testing.assert_allclose(np.unique(np.asarray(theirs.points), axis=0), np.unique(ours, axis=0))


@pytest.mark.parametrize("device", DEVICES)
def test_neighbours_are_the_nearest(device):
    points, query = clouds(), clouds(n=20, seed=1)
    index = knn(query.to(device), points.to(device), 9).cpu()
    for b in range(2):
        distances = ((query[b, :, None].double() - points[b][None].double()) ** 2).sum(-1)
        assert torch.equal(index[b], distances.argsort(dim=-1)[:, :9])
    with pytest.raises(ValueError, match="9 neighbours of 5 points"):
        knn(query, points[:, :5], 9)


def test_open3d_finds_the_same_neighbours():
    o3d = pytest.importorskip("open3d")
    cloud = clouds(1, 500)[0]
    tree = o3d.geometry.KDTreeFlann(o3d.geometry.PointCloud(o3d.utility.Vector3dVector(cloud.double().numpy())))
    index = knn(cloud[None, :30], cloud[None], 6)[0]
    radius = 0.4
    balls = ball_query(radius, 500, cloud[None], cloud[None, :30])[0]
    for i in range(30):
        assert list(tree.search_knn_vector_3d(cloud[i].double().numpy(), 6)[1]) == index[i].tolist()
        inside = sorted(tree.search_radius_vector_3d(cloud[i].double().numpy(), radius)[1])
        assert sorted(set(balls[i].tolist())) == inside


@pytest.mark.parametrize("device", DEVICES)
def test_a_ball_holds_the_first_points_in_index_order(device):
    points, query = clouds(), clouds(n=20, seed=1)
    query[0, 0] = 50.0  # nothing near
    radius, k = 0.8, 8
    index = ball_query(radius, k, points.to(device), query.to(device)).cpu()
    sizes = set()
    for b in range(2):
        distances = (query[b, :, None].double() - points[b][None].double()).norm(dim=-1)
        for m in range(20):
            inside = torch.nonzero(distances[m] <= radius).flatten().tolist()[:k]
            sizes.add(len(inside))
            first = inside[0] if inside else int(distances[m].argmin())
            assert index[b, m].tolist() == inside + [first] * (k - len(inside))
    assert {0, k} < sizes  # empty, full and partial balls were tried


def test_a_ball_may_ask_for_more_than_there_are():
    assert ball_query(9.0, 5, torch.zeros(1, 2, 3), torch.zeros(1, 1, 3)).tolist() == [[[0, 1, 0, 0, 0]]]


def test_parts_give_the_same(monkeypatch):
    points, query = clouds(), clouds(n=50, seed=1)
    whole = knn(query, points, 5), ball_query(0.5, 5, points, query)
    monkeypatch.setattr("anyclip_pointcloud.ops._CHUNK", 2 * 300 * 7)
    assert torch.equal(whole[0], knn(query, points, 5))
    assert torch.equal(whole[1], ball_query(0.5, 5, points, query))


def test_gather_and_group_pass_gradients():
    points = clouds().requires_grad_()
    index = knn(points[:, :4], points, 3)
    groups = group(points, index, gather(points, index[:, :, 0]))
    assert groups.shape == (2, 4, 3, 3)
    expected = points[1, index[1, 2, 1]] - points[1, index[1, 2, 0]]
    torch.testing.assert_close(groups[1, 2, 1], expected)
    groups.square().sum().backward()
    assert points.grad.abs().sum() > 0
