"""Point operations in PyTorch: farthest point sampling, nearest neighbours, balls, groups. No compiled operators.

B clouds, N points, K chosen points, M queries. Indices are int64. Nothing here passes gradients through the choice of
indices; `gather` and `group` pass them to what they gather.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_CHUNK = 1 << 25  # distances held at a time: 128 MB of float32


@torch.no_grad()
def farthest_point_sample(points: Tensor, k: int, *, start: int | Tensor | torch.Generator = 0) -> Tensor:
    """Indices [B, K] of points [B, N, 3], each the farthest from those before it (the first index of equals).

    start: index of the first point, one for all or int [B], or a generator that draws one per cloud. With k above N the
    last ones repeat. Source: PointNet++ (Qi et al. 2017), section 3.2. On the CPU a cloud at a time in numpy, elsewhere
    all clouds at once. open3d's legacy call takes three quarters of that time but loses the order of choice.
    """
    if points.ndim != 3 or points.shape[-1] != 3:
        raise ValueError(f"points are [B, N, 3], not {list(points.shape)}")
    first = _first(points, start)
    if points.device.type == "cpu" and not torch.compiler.is_compiling() and points.dtype.is_floating_point:
        clouds = points.detach().float().numpy()
        return torch.from_numpy(np.stack([farthest_indices(c, k, int(f)) for c, f in zip(clouds, first)]))
    xyz = points.detach().float().transpose(1, 2).contiguous()  # [B, 3, N]: whole rows per coordinate
    rows = torch.arange(len(points), device=points.device)
    nearest = xyz.new_full((len(points), xyz.shape[2]), torch.inf)
    chosen, latest = [first], first
    for _ in range(k - 1):
        offset = xyz - xyz[rows, :, latest][:, :, None]
        nearest = torch.minimum(nearest, offset.square_().sum(dim=1))
        latest = nearest.argmax(dim=1)
        chosen.append(latest)
    return torch.stack(chosen, dim=1)


def _first(points: Tensor, start: int | Tensor | torch.Generator) -> Tensor:
    b, n = points.shape[:2]
    if isinstance(start, torch.Generator):
        return torch.randint(n, (b,), generator=start, device=start.device).to(points.device)
    if isinstance(start, Tensor):
        return start.to(points.device, torch.int64)
    return torch.full((b,), start, dtype=torch.int64, device=points.device)


def farthest_indices(points: np.ndarray, k: int, start: int = 0) -> np.ndarray:
    """`farthest_point_sample` of one cloud [N, 3] in numpy: int64 [K].

    Each step costs seven passes over buffers that are made once; coordinates lie in rows, so that every pass is
    contiguous.
    """
    xyz = np.ascontiguousarray(points.T, dtype=np.float32)
    offset, distance = np.empty_like(xyz), np.empty(xyz.shape[1], np.float32)
    nearest = np.full(xyz.shape[1], np.inf, np.float32)
    x, y, z = offset
    chosen = np.empty(k, np.int64)
    chosen[0] = latest = start
    for i in range(1, k):
        np.subtract(xyz, xyz[:, latest : latest + 1], out=offset)
        np.multiply(offset, offset, out=offset)
        np.add(x, y, out=distance)
        np.add(distance, z, out=distance)
        np.minimum(nearest, distance, out=nearest)
        chosen[i] = latest = nearest.argmax()
    return chosen


@torch.no_grad()
def knn(query: Tensor, points: Tensor, k: int) -> Tensor:
    """Indices [B, M, k] of the k points [B, N, 3] nearest to each query [B, M, 3], the nearest first."""
    if k > points.shape[1]:
        raise ValueError(f"{k} neighbours of {points.shape[1]} points")
    return torch.cat([d.topk(k, dim=-1, largest=False).indices for d in _distances(query, points)], dim=1)


@torch.no_grad()
def ball_query(radius: float, k: int, points: Tensor, query: Tensor) -> Tensor:
    """Indices [B, M, k] of the first k points (in index order) within the radius of each query, its edge included.

    points [B, N, 3], query [B, M, 3]. Places that stay free repeat the first found; a query that finds none takes its
    nearest point. Source: PointNet++ (Qi et al. 2017), section 3.2.
    """
    n = points.shape[1]
    order = torch.arange(n, device=points.device)
    found = []
    for distance in _distances(query, points):
        index = torch.where(distance <= radius, order, n).topk(min(k, n), dim=-1, largest=False, sorted=True).values
        index = torch.cat([index, index.new_full((*index.shape[:2], k - index.shape[2]), n)], dim=-1)
        first = torch.where(index[..., :1] == n, distance.argmin(dim=-1, keepdim=True), index[..., :1])
        found.append(torch.where(index == n, first, index))
    return torch.cat(found, dim=1)


def _distances(query: Tensor, points: Tensor):
    """Distances [B, part of M, N], in parts that bound the memory; by differences, exact for near points."""
    query, points = query.float(), points.float()
    rows = max(1, _CHUNK // max(1, points.shape[0] * points.shape[1]))
    for part in query.split(rows, dim=1):
        yield torch.cdist(part, points, compute_mode="donot_use_mm_for_euclid_dist")


def gather(values: Tensor, index: Tensor) -> Tensor:
    """values [B, N, C] at index [B, ...] -> [B, ..., C]."""
    flat = index.reshape(len(index), -1, 1).expand(-1, -1, values.shape[-1])
    return values.gather(1, flat).reshape(*index.shape, values.shape[-1])


def group(points: Tensor, index: Tensor, centers: Tensor | None = None) -> Tensor:
    """Groups [B, M, k, C] of points [B, N, C] at index [B, M, k]; relative to centers [B, M, C] when given."""
    groups = gather(points, index)
    return groups if centers is None else groups - centers[:, :, None]
