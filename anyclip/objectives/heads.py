"""Layers that belong to one term of the training loss and not to the embedding."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from anyclip.config.normalize import head as spelled_out
from anyclip.config.schema import HeadConfig
from anyclip.projections import module_dtype

_ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU}


class Head(nn.Module):
    """[..., width] -> [..., dim]: a linear layer, or several with norm, activation and dropout after each but the last.

    Takes any floating-point input: it is brought to the dtype of the weights.
    """

    def __init__(self, config: HeadConfig | str, width: int):
        super().__init__()
        config = spelled_out(config)
        self.normalize_inputs = config.normalize_inputs
        self.dim = config.dim or width
        hidden = config.hidden or self.dim
        layers: list[nn.Module] = []
        for _ in range(config.layers - 1 if config.name == "mlp" else 0):
            layers.append(nn.Linear(width, hidden))
            if config.norm == "layer":
                layers.append(nn.LayerNorm(hidden))
            layers.append(_ACTIVATIONS[config.activation]())
            if config.dropout:
                layers.append(nn.Dropout(config.dropout))
            width = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, self.dim))

    def forward(self, x: Tensor) -> Tensor:
        x = F.normalize(x, dim=-1) if self.normalize_inputs else x
        return self.layers(x.to(module_dtype(self)))
