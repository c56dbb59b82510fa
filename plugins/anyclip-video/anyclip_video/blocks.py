"""The transformer block of CLIP4Clip's temporal head and of its tight similarity.

Facts: pre-norm, QuickGELU, LayerNorm eps 1e-12, -1e6 added to the scores of keys that are padding.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

EPS = 1e-12
HEAD_WIDTH = 64  # of every head in the published models


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 x)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """Self-attention and feed-forward, each on a normalised copy and added. Parameter names are those of CLIP."""

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_1 = nn.LayerNorm(width, eps=EPS)
        layers = [("c_fc", nn.Linear(width, 4 * width)), ("gelu", QuickGELU()), ("c_proj", nn.Linear(4 * width, width))]
        self.mlp = nn.Sequential(OrderedDict(layers))
        self.ln_2 = nn.LayerNorm(width, eps=EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [B, T, W], mask [B, T] (True = real) -> [B, T, W]; padded positions are computed but not seen."""
        y = self.ln_1(x)
        low = max(-1e6, torch.finfo(y.dtype).min)  # not -inf: a row of padding alone stays finite
        unseen = torch.zeros(mask.shape, dtype=y.dtype, device=y.device).masked_fill(~mask, low)
        x = x + self.dropout(self.attn(y, y, y, key_padding_mask=unseen, need_weights=False)[0])
        return x + self.dropout(self.mlp(self.ln_2(x)))


def heads_of(width: int, asked: int | None) -> int:
    """Attention heads for a width."""
    return asked or max(1, width // HEAD_WIDTH)


def first_weights(module: nn.Module) -> None:
    """Linear layers and tables from N(0, 0.02), biases 0, norms 1 and 0, as the published code."""
    for part in module.modules():
        if isinstance(part, (nn.Linear, nn.Embedding)):
            nn.init.normal_(part.weight, std=0.02)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
