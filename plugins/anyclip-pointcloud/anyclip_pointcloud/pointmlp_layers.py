"""The parts of PointMLP (arXiv:2202.07123): local groups with geometric affine, residual MLPs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anyclip_pointcloud.ops import group, knn

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "leakyrelu": nn.LeakyReLU,
}


def activation(name: str) -> nn.Module:
    """A new activation by its name in the options."""
    return _ACTIVATIONS[name]()


class ConvNormAct(nn.Module):
    """[B, C, N] -> [B, C', N]: 1 x 1 convolution, batch norm, activation. Names: `net.0`, `net.1`."""

    def __init__(self, channels: int, out: int, *, bias: bool, activation: str):
        super().__init__()
        act = _ACTIVATIONS[activation]()
        self.net = nn.Sequential(nn.Conv1d(channels, out, 1, bias=bias), nn.BatchNorm1d(out), act)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Residual(nn.Module):
    """[B, C, N] -> the same; two convolutions with `int(C * expansion)` channels between. Names: `net1`, `net2`."""

    def __init__(self, channels: int, *, expansion: float, bias: bool, activation: str):
        super().__init__()
        inner = int(channels * expansion)
        self.act = _ACTIVATIONS[activation]()
        self.net1 = nn.Sequential(
            nn.Conv1d(channels, inner, 1, bias=bias), nn.BatchNorm1d(inner), _ACTIVATIONS[activation]()
        )
        self.net2 = nn.Sequential(nn.Conv1d(inner, channels, 1, bias=bias), nn.BatchNorm1d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.net2(self.net1(x)) + x)


class Grouper(nn.Module):
    """Each centre's nearest points, made comparable by the geometric affine module (section 3.2).

    With `use_xyz` the coordinates join the features of the neighbours. `channels`: of the output.
    """

    def __init__(self, channels: int, neighbors: int, *, use_xyz: bool, normalize: str):
        super().__init__()
        self.neighbors, self.use_xyz, self.normalize = neighbors, use_xyz, normalize
        inner = channels + (3 if use_xyz else 0)
        self.channels = inner + channels
        if normalize != "none":
            self.affine_alpha = nn.Parameter(torch.ones(1, 1, 1, inner))
            self.affine_beta = nn.Parameter(torch.zeros(1, 1, 1, inner))

    def forward(self, points: Tensor, features: Tensor, centres: Tensor, own: Tensor) -> Tensor:
        """points [B, N, 3], features [B, N, D], centres [B, S, 3], their features [B, S, D] -> [B, S, K, channels]."""
        index = knn(centres, points, self.neighbors)
        found, anchor = group(features, index), own
        if self.use_xyz:
            found, anchor = torch.cat([found, group(points, index)], dim=-1), torch.cat([own, centres], dim=-1)
        if self.normalize != "none":
            middle = anchor[:, :, None] if self.normalize == "anchor" else found.mean(dim=2, keepdim=True)
            offset = found - middle
            size = offset.float().flatten(1).std(dim=-1).to(offset.dtype)[:, None, None, None]
            found = self.affine_alpha * (offset / (size + 1e-5)) + self.affine_beta
        return torch.cat([found, own[:, :, None].expand(-1, -1, self.neighbors, -1)], dim=-1)


class PreExtraction(nn.Module):
    """Groups [B, S, K, C] -> [B, C', S]: shared residual blocks, then the maximum over the neighbours."""

    def __init__(self, channels: int, out: int, count: int, *, expansion: float, bias: bool, activation: str):
        super().__init__()
        self.transfer = ConvNormAct(channels, out, bias=bias, activation=activation)
        self.operation = nn.Sequential(
            *(Residual(out, expansion=expansion, bias=bias, activation=activation) for _ in range(count))
        )

    def forward(self, x: Tensor) -> Tensor:
        rows, centres = x.shape[:2]
        x = self.operation(self.transfer(x.flatten(0, 1).transpose(1, 2)))
        return x.amax(dim=2).reshape(rows, centres, -1).transpose(1, 2)


class PosExtraction(nn.Module):
    """[B, C, S] -> the same: residual blocks per centre."""

    def __init__(self, channels: int, count: int, *, expansion: float, bias: bool, activation: str):
        super().__init__()
        self.operation = nn.Sequential(
            *(Residual(channels, expansion=expansion, bias=bias, activation=activation) for _ in range(count))
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.operation(x)
