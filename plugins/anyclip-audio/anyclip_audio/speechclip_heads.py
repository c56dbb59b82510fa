"""SpeechCLIP's two heads over the frames of a speech encoder (Shih et al., SLT 2022, section 2); published names."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ParallelHead(nn.Module):
    """One learned token in front of the frames, through a transformer layer: [B, T, W] -> [B, W], or [B, dim]."""

    def __init__(self, width: int, heads: int, dropout: float, dim: int | None):
        super().__init__()
        self.cls = nn.Parameter(torch.randn(1, 1, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=dropout, activation=F.gelu, batch_first=True, norm_first=False
        )
        stack = nn.TransformerEncoder(layer, 1, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.self_att = nn.ModuleDict({"model": stack})
        self.linear_proj = nn.Identity() if dim is None else nn.Linear(width, dim)

    def forward(self, frames: Tensor, real: Tensor) -> Tensor:
        """real: bool [B, T]."""
        x = torch.cat([self.cls.to(frames.dtype).expand(len(frames), -1, -1), frames], dim=1)
        hidden = F.pad(~real, (1, 0))
        return self.linear_proj(self.self_att["model"](x, src_key_padding_mask=hidden)[:, 0])


class CascadedHead(nn.Module):
    """Learned tokens read the frames and become token embeddings of a text tower: [B, T, W] -> [B, K, D].

    table [V, D]: the text tower's; keywords start with its mean and deviation per channel.
    """

    def __init__(self, width: int, keywords: int, heads: int, dropout: float, table: Tensor):
        super().__init__()
        self.cls = nn.Parameter(torch.randn(1, keywords, width))
        attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.self_att = nn.ModuleDict({"multihead_attn_layer": attention, "attentionBlock_Norm": nn.LayerNorm(width)})
        self.linear_proj = nn.Linear(width, table.shape[1])
        self.bn_layer = KeywordNorm(keywords, table)

    def forward(self, frames: Tensor, real: Tensor) -> Tensor:
        """real: bool [B, T]. Only the learned tokens ask; what frames would read is not used."""
        ask = self.cls.to(frames.dtype).expand(len(frames), -1, -1)
        x = torch.cat([ask, frames], dim=1)
        hidden = F.pad(~real, (ask.shape[1], 0))
        read, _ = self.self_att["multihead_attn_layer"](ask, x, x, key_padding_mask=hidden, need_weights=False)
        return self.bn_layer(self.linear_proj(self.self_att["attentionBlock_Norm"](read + ask)))


class KeywordNorm(nn.Module):
    """Batch norm of keywords [B, K, D], a channel for each pair of channel and keyword (channel-major)."""

    def __init__(self, keywords: int, table: Tensor):
        super().__init__()
        self.bn_layer = nn.BatchNorm1d(keywords * table.shape[1])
        with torch.no_grad():
            wide = table.detach().float()
            self.bn_layer.weight.copy_(wide.std(dim=0).repeat_interleave(keywords))
            self.bn_layer.bias.copy_(wide.mean(dim=0).repeat_interleave(keywords))

    def forward(self, x: Tensor) -> Tensor:
        norm, flat = self.bn_layer, x.transpose(1, 2).flatten(1)
        if self.training and len(x) == 1:  # one row has no deviation
            found = F.batch_norm(flat, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        else:
            found = norm(flat)
        return found.unflatten(1, (x.shape[2], x.shape[1])).transpose(1, 2)
