"""Where the cameras of the multi-view towers stand: tables of angles, and the rotations they mean."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_Q = math.pi / 4  # an eighth of a turn
_SIDES = ((0, 0, 2 * _Q), (2 * _Q, 0, 2 * _Q), (4 * _Q, 0, 2 * _Q), (6 * _Q, 0, 2 * _Q))
_ENDS = ((0, -2 * _Q, 2 * _Q), (0, 2 * _Q, 2 * _Q))
_CORNERS = ((5 * _Q, -_Q, 2 * _Q), (5 * _Q, _Q, 2 * _Q), (7 * _Q, -_Q, 2 * _Q), (7 * _Q, _Q, 2 * _Q))
_EDGES = ((_Q, 0, 2 * _Q), (3 * _Q, 0, 2 * _Q), (5 * _Q, 0, 2 * _Q), (7 * _Q, 0, 2 * _Q))

SIX_VIEWS = (*_SIDES, *_ENDS)
"""Four sides, top and bottom (PointCLIP zero-shot): Euler angles (x, y, z) in radians."""
TEN_VIEWS = (*_SIDES, *_CORNERS, *_ENDS)
"""The six and four corners (PointCLIP few-shot)."""
TILTED_VIEWS = (*_EDGES, *_SIDES, *_ENDS)
"""Edges, sides and ends (PointCLIP V2); each is tilted by TILTS as well."""
TILTS = (*((0, math.pi / 9, 0),) * 8, *((0, math.pi / 15, 0),) * 2)

CAMERAS_6 = ((0, 90, 180, 270, 0, 180), (0, 0, 0, 0, 90, -90))
"""Azimuths and elevations in degrees (CLIP2Point)."""
CAMERAS_10 = ((0, 0, 0, 0, -45, 45, -45, 45, -90, 90), (0, 90, 180, 270, 225, 225, 315, 315, 0, 0))

VIEW_WEIGHTS: dict[str, tuple[float, ...]] = {
    "modelnet40_vit_b16": (0.75, 0.75, 0.75, 0.25, 0.75, 1.0, 0.25, 1.0, 0.75, 0.25),
    "modelnet40_vit_b32": (0.75, 0.75, 0.75, 0.75, 0.25, 0.5, 0.5, 0.75, 0.5, 0.5),
    "modelnet40_rn50": (0.75, 0.75, 0.75, 0.75, 0.25, 0.5, 1.0, 1.0, 0.25, 0.25),
    "modelnet40_rn101": (0.75, 0.75, 0.75, 0.25, 0.5, 1.0, 0.75, 0.25, 0.25, 0.25),
    "scanobjectnn_vit_b16": (0.75, 0.75, 0.75, 0.5, 0.5, 1.0, 0.75, 1.0, 0.25, 0.25),
    "scanobjectnn_vit_b32": (0.75, 0.75, 0.75, 0.5, 0.75, 0.75, 0.5, 1.0, 0.5, 0.75),
}
"""Published by PointCLIP V2 for its ten views, by data set and image encoder; searched on test data."""


def rotation(angles: Tensor | Sequence[Sequence[float]]) -> Tensor:
    """Euler angles [V, 3] in radians -> [V, 3, 3], Rx @ Ry @ Rz of the right-handed rotations.

    Computed in float32 as the origins do: a sine that is not quite 0 decides on which side of a pixel's border a point
    falls.
    """
    angles = torch.as_tensor(angles, dtype=torch.float32)
    x, y, z = (_about(axis, angles[:, axis]) for axis in range(3))
    return x @ y @ z


def apply(points: Tensor, matrix: Tensor) -> Tensor:
    """Row vectors [..., N, 3] times matrices [..., 3, 3], in sums of one fixed order.

    The rounding is then that of every processor, and no TF32 of a GPU moves a point to another pixel.
    """
    x, y, z = (points[..., k, None] * matrix[..., k, None, :] for k in range(3))
    return x + y + z


def _about(axis: int, angle: Tensor) -> Tensor:
    """[V] radians -> [V, 3, 3]."""
    cos, sin = angle.cos(), angle.sin()
    matrix = torch.zeros(len(angle), 3, 3)
    a, b = [(1, 2), (2, 0), (0, 1)][axis]
    matrix[:, axis, axis] = 1
    matrix[:, a, a] = matrix[:, b, b] = cos
    matrix[:, a, b], matrix[:, b, a] = -sin, sin
    return matrix


def look_at(azim: Tensor, elev: Tensor, dist: Tensor) -> tuple[Tensor, Tensor]:
    """Cameras that look at the origin with +y up. Angles in degrees, any shape [...].

    Returns the axes [..., 3, 3] (x to the left, y up, z into the picture; one axis a column) and the centres [..., 3].
    """
    azim, elev = torch.deg2rad(azim), torch.deg2rad(elev)
    where = torch.stack([elev.cos() * azim.sin(), elev.sin(), elev.cos() * azim.cos()], dim=-1)
    centre = dist[..., None] * where
    z = _unit(-centre)
    up = torch.zeros_like(z)
    up[..., 1] = 1
    x = _unit(torch.linalg.cross(up, z))
    y = _unit(torch.linalg.cross(z, x))
    degenerate = (x.abs() <= 5e-3).all(dim=-1, keepdim=True)  # straight from above or below: any horizontal x will do
    x = torch.where(degenerate, _unit(torch.linalg.cross(y, z)), x)
    return torch.stack([x, y, z], dim=-1), centre


def _unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True).clamp_min(1e-5)
