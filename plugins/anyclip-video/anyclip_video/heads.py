"""Temporal heads of `video/frames`: frame vectors that know of each other.

Luo et al. 2021 (CLIP4Clip), arXiv 2104.08860, section 3.3: mean pooling, LSTM, transformer. Each gives [B, T, W] for
frames [B, T, W] and mask [B, T]; the mean over frames is the tower's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anyclip.errors import UserError
from anyclip_video.blocks import Block, first_weights, heads_of
from anyclip_video.tower_options import FramesOptions


class MeanHead(nn.Module):
    """meanP: frame vectors as they are; order does not count."""

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        return frames


class LSTMHead(nn.Module):
    """seqLSTM: one layer, forwards in time, over the real frames; added to the frame vectors."""

    def __init__(self, width: int):
        super().__init__()
        self.lstm = nn.LSTM(width, width, batch_first=True)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        # an LSTM that runs forwards never sees what comes later: with the real frames in front nothing need be packed
        order = (~mask).to(torch.uint8).argsort(dim=1, stable=True)[..., None].expand_as(frames)
        seen, _ = self.lstm(frames.gather(1, order))
        return frames + torch.zeros_like(frames).scatter(1, order, seen.to(frames.dtype))


class TransformerHead(nn.Module):
    """seqTransf: learned frame positions, then blocks that do not see padding; added to the frame vectors."""

    def __init__(self, width: int, *, layers: int, heads: int | None, positions: int, dropout: float):
        super().__init__()
        heads = heads_of(width, heads)
        if width % heads:
            raise UserError(f"head_heads: the frame vectors' width {width} does not divide by {heads}.")
        self.positions = nn.Embedding(positions, width)
        self.blocks = nn.ModuleList(Block(width, heads, dropout=dropout) for _ in range(layers))
        first_weights(self)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        length = frames.shape[1]
        if length > self.positions.num_embeddings:
            raise UserError(
                f"a clip has {length} frames, seqTransf {self.positions.num_embeddings} positions.",
                hint=f"Set the option positions to {length} or more.",
            )
        x = frames + self.positions.weight[:length]
        for block in self.blocks:
            x = block(x, mask)
        return frames + x


def build_head(options: FramesOptions, width: int) -> nn.Module:
    """The head that the options name, for frame vectors of `width`."""
    if options.head == "meanP":
        return MeanHead()
    if options.head == "seqLSTM":
        return LSTMHead(width)
    return TransformerHead(
        width,
        layers=options.head_layers,
        heads=options.head_heads,
        positions=options.positions,
        dropout=options.head_dropout,
    )
