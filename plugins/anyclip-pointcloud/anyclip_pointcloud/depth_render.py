"""CLIP2Point's depth maps: points as flat discs before orthographic cameras, the nearest wins. Plain PyTorch.

Huang et al. 2023 (CLIP2Point), arXiv 2210.01055, section 3.2; conventions of cameras and pixels as in PyTorch3D, whose
compiled rasteriser is not needed.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from anyclip_pointcloud.views import apply, look_at, rotation

_BACKGROUND, _SHADES = 1.0, 200 / 255
_CELLS = 2**24  # pixels x discs handled at a time: bounds the memory


class DepthRender(nn.Module):
    """[B, N, 3] points before cameras [B, V] -> [B, V, size, size]: background 1, near dark, at most 200/255.

    radius: of a point's disc, where the picture is 2 wide. turn: first bring clouds with +z up to the cameras' +y.
    The depths carry a gradient to points and cameras; which disc covers a pixel does not.
    """

    def __init__(self, *, size: int = 224, radius: float = 0.02, turn: bool = True):
        super().__init__()
        self.size, self.radius = size, radius
        upright = rotation([[math.pi / 2, 0, 0], [0, -math.pi / 2, 0]])
        self.turned = upright[0] @ upright[1] if turn else torch.eye(3)  # no buffer: it stays float32

    def forward(self, points: Tensor, azim: Tensor, elev: Tensor, dist: Tensor) -> Tensor:
        """azim, elev in degrees, dist from the origin, each [B, V]."""
        axes, centre = look_at(azim.float(), elev.float(), dist.float())
        points = apply(points.float(), self.turned.to(points.device))[:, None] / dist.float()[..., None, None]
        seen = (apply(points, axes) - apply(centre[..., None, :], axes)).flatten(0, 1)
        depth = self.rasterize(seen).view(*azim.shape, self.size, self.size)
        return _shade(depth)

    def rasterize(self, points: Tensor) -> Tensor:
        """[M, N, 3] in view coordinates -> [M, size, size] depth of the nearest disc, -1 where there is none."""
        step = max(1, _CELLS // max(1, points.shape[1] * self._window**2))
        return torch.cat([self._nearest(part) for part in points.split(step)])

    @property
    def _window(self) -> int:
        """Pixels of a side that a disc can touch."""
        return math.floor(self.radius * self.size) + 2

    def _nearest(self, points: Tensor) -> Tensor:
        cell, covered = self._covered(points[..., :2].detach())
        z = points[..., 2]
        covered &= (z >= 0)[..., None]
        cell = torch.where(covered, cell, self.size**2).flatten(1)  # one more cell, for what covers nothing
        depths = z[..., None].expand(covered.shape).flatten(1)
        empty = depths.new_full((len(points), self.size**2 + 1), math.inf)
        found = empty.scatter_reduce(1, cell, depths, "amin")[:, :-1]
        return torch.where(found.isinf(), -1.0, found).view(-1, self.size, self.size)

    def _covered(self, xy: Tensor) -> tuple[Tensor, Tensor]:
        """Of each disc [M, N]: the pixels of its window [M, N, K] and whether their centres lie inside it.

        +x points left and +y up: the centre of row i, column j is y = 1 - (2i + 1) / size, x = 1 - (2j + 1) / size.
        """
        reach = torch.arange(self._window, device=xy.device) - (self._window - 1) // 2
        place = ((1 - xy) * self.size - 1) / 2
        x_at, y_at = ((place[..., k].round()[..., None] + reach) for k in (0, 1))  # [M, N, window]
        x_gap, y_gap = ((1 - (2 * at + 1) / self.size - xy[..., k, None]) ** 2 for k, at in enumerate((x_at, y_at)))
        inside = y_gap[..., :, None] + x_gap[..., None, :] < self.radius**2
        on = [(at >= 0) & (at < self.size) for at in (y_at, x_at)]
        inside &= on[0][..., :, None] & on[1][..., None, :]
        cell = y_at[..., :, None] * self.size + x_at[..., None, :]
        return cell.flatten(2).long(), inside.flatten(2)


def _shade(depth: Tensor) -> Tensor:
    """Depths [..., H, W] (-1: nothing) -> background 1, the nearest at 0 and the farthest at 200/255 of its depth."""
    front = depth > 0
    largest = depth.amax(dim=(-2, -1), keepdim=True)
    white = torch.where(front, depth, _BACKGROUND)
    nearest = white.amin(dim=(-2, -1), keepdim=True)
    shaded = (white - nearest) / torch.where(largest > 0, largest, 1.0) * _SHADES
    return torch.where(front, shaded, _BACKGROUND)
