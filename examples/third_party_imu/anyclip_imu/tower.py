"""imu/patches: a transformer over patches of a recording."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anyclip import Encoding, Tower
from anyclip_imu.options import PatchOptions
from anyclip_imu.processor import ImuProcessor


class PatchTower(Tower):
    """Inputs {"samples": [B, T, 6], "mask": [B, T]}, T a multiple of the patch. `tokens` are the patches."""

    def __init__(self, options: PatchOptions):
        super().__init__()
        self.width, self.patch = options.width, options.patch
        self.processor = ImuProcessor(options)
        self.embed = nn.Linear(6 * options.patch, options.width)
        self.blocks = nn.ModuleList(Block(options.width, options.heads, options.dropout) for _ in range(options.depth))
        self.norm = nn.LayerNorm(options.width)

    def forward(
        self, inputs: Mapping[str, Tensor], *, mask: Tensor | None = None, layers: Sequence[int] = ()
    ) -> Encoding:
        """mask [B, T]: patches to leave out; layers: blocks (0 first) whose output is wanted."""
        real = inputs["mask"]
        samples = inputs["samples"] * real[:, :, None]
        patches_BTP = samples.unflatten(1, (-1, self.patch)).flatten(2)
        kept = real.unflatten(1, (-1, self.patch)).any(dim=2)
        if mask is not None:
            kept = kept & ~mask
        x = self.embed(patches_BTP)
        x = x + positions(x)
        hidden = []
        for block in self.blocks:
            x = block(x, kept)
            hidden.append(x)
        tokens = self.norm(x)
        weight = kept[:, :, None].to(tokens.dtype)
        pooled = (tokens * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
        return Encoding(pooled=pooled, tokens=tokens, mask=kept, layers={d: hidden[d] for d in layers})

    def layer_groups(self) -> list[list[str]]:
        return [["embed"], *([f"blocks.{i}"] for i in range(len(self.blocks))), ["norm"]]


class Block(nn.Module):
    """Attention and an MLP, normalised before (Xiong et al. 2020, arXiv 2002.04745)."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:
        """x [B, T, W]; kept [B, T]: tokens that are looked at."""
        q, k, v = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=kept[:, None, None, :])
        x = x + self.dropout(self.out(seen.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.mlp(self.norm2(x)))


def positions(x: Tensor) -> Tensor:
    """Sines and cosines [T, W] (Vaswani et al. 2017, section 3.5) like x [B, T, W]."""
    steps = torch.arange(x.shape[1], device=x.device, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, x.shape[2], 2, device=x.device) * (-math.log(1000.0) / x.shape[2]))
    return torch.stack([(steps * rates).sin(), (steps * rates).cos()], dim=2).flatten(1).to(x.dtype)
