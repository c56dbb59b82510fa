"""The layer from a tower's width W to the joint width E."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anyclip.config.schema import ProjectionConfig
from anyclip.errors import UserError


class Linear(nn.Linear):
    """One matrix; the first weights are normal with standard deviation W^-0.5 (CLIP, arXiv 2103.00020)."""

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=self.in_features**-0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class MLP(nn.Module):
    """W -> hidden, GELU or ReLU, dropout, hidden -> E."""

    def __init__(self, width: int, hidden: int, dim: int, *, bias: bool, dropout: float, activation: str = "gelu"):
        super().__init__()
        self.hidden = nn.Linear(width, hidden)
        self.activation = F.relu if activation == "relu" else F.gelu
        self.dropout = nn.Dropout(dropout)
        self.out = Linear(hidden, dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.dropout(self.activation(self.hidden(x))))


class Residual(nn.Module):
    """W -> E, plus dropout of E -> E on its GELU, then LayerNorm (MS-CLAP, arXiv 2206.04769, published code)."""

    def __init__(self, width: int, dim: int, *, bias: bool, dropout: float):
        super().__init__()
        self.first = Linear(width, dim, bias=bias)
        self.second = Linear(dim, dim, bias=bias)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.norm(x + self.dropout(self.second(F.gelu(x))))


class Normalized(nn.Module):
    """Unit vectors into `inner`."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(F.normalize(x, dim=-1))


def build_projection(config: ProjectionConfig | str, width: int, dim: int, *, stream: str = "") -> nn.Module:
    """[B, width] -> [B, dim]. Raises UserError when `identity` meets a tower of another width."""
    if isinstance(config, str):
        config = ProjectionConfig(name=config)  # type: ignore[arg-type]
    inner = _plain_projection(config, width, dim, stream=stream)
    return Normalized(inner) if config.normalize_inputs else inner


def _plain_projection(config: ProjectionConfig, width: int, dim: int, *, stream: str) -> nn.Module:
    if config.name == "identity":
        if width != dim:
            raise UserError(
                f"the tower is {width} wide and the joint space {dim}; an identity projection needs equal widths.",
                where=f"model.towers.{stream}.projection" if stream else None,
                hint=f"Use linear, or set model.dim to {width}.",
            )
        return nn.Identity()
    if config.name == "mlp":
        hidden = config.hidden or dim
        return MLP(width, hidden, dim, bias=config.bias, dropout=config.dropout, activation=config.activation)
    if config.name == "residual":
        return Residual(width, dim, bias=config.bias, dropout=config.dropout)
    return Linear(width, dim, bias=config.bias)


def module_dtype(module: nn.Module) -> torch.dtype | None:
    """The dtype of a module's first floating-point parameter, None when it has none."""
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), None)
