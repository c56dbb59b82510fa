"""Unit normals of clouds that bring none."""

from __future__ import annotations

import numpy as np
import torch

from anyclip_pointcloud.ops import gather, knn


def estimate_normals(points: np.ndarray, neighbours: int = 16) -> np.ndarray:
    """Unit normals [N, 3] float32: where the nearest neighbours extend least, turned away from the cloud's mean.

    Where neighbours coincide any direction comes out; it is a unit vector.
    """
    cloud = torch.from_numpy(np.ascontiguousarray(points, dtype=np.float32))[None]
    near = gather(cloud, knn(cloud, cloud, min(neighbours, len(points))))[0].double()
    offsets = near - near.mean(dim=1, keepdim=True)
    normals = torch.linalg.eigh(offsets.transpose(1, 2) @ offsets).eigenvectors[:, :, 0]
    outward = (normals * (cloud[0] - cloud[0].mean(dim=0)).double()).sum(dim=1, keepdim=True)
    return torch.where(outward < 0, -normals, normals).float().numpy()
