"""The projected views of a cloud as one picture, for reports."""

from __future__ import annotations

import functools

import numpy as np
import torch

from anyclip_pointcloud.realistic_projection import RealisticProjection
from anyclip_pointcloud.views import TILTED_VIEWS, TILTS

_SHOWN = (0, 1, 2, 3, 4, 9)  # of PointCLIP V2's: the four edges, a side, an end


def depth_strip(points: np.ndarray, *, side: int = 56, most: int = 4096) -> np.ndarray:
    """Six depth maps beside each other, uint8 [side, 6 * side]: near is dark, nothing is white.

    points: [N, 3], +y up; at most `most` of them are drawn. Depth maps as the tower pointcloud/pointclip_v2 makes them.
    """
    points = np.asarray(points, dtype=np.float64)[:: -(-len(points) // most)]
    points = points - points.mean(axis=0)  # before float32: georeferenced coordinates are large
    with torch.no_grad():
        maps = _projection(side)(torch.from_numpy(points.astype(np.float32))[None])[0]
    return np.concatenate((maps.clamp(0, 1) * 255).round().to(torch.uint8).numpy(), axis=1)


@functools.cache
def _projection(side: int) -> RealisticProjection:
    angles, tilts = ([table[i] for i in _SHOWN] for table in (TILTED_VIEWS, TILTS))
    return RealisticProjection(angles, tilts, size=side + 2, kernel=5)
