"""A group norm over time that leaves padding out, for the first convolution of wav2vec 2.0 and its family."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MaskedGroupNorm(nn.GroupNorm):
    """nn.GroupNorm with one group per channel; inside `real_frames` its statistics are those of each row's own frames.

    Without them, a sound's features depend on how far its batch is padded.
    """

    frames: Tensor | None = None

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, T] -> [B, C, T]."""
        if self.frames is None:
            return super().forward(input)
        x = input.float()
        real = torch.arange(x.shape[2], device=x.device) < self.frames[:, None]
        real = real[:, None].to(x.dtype)
        count = self.frames[:, None, None].to(x.dtype)
        centred = x - (x * real).sum(dim=2, keepdim=True) / count
        deviation = ((centred.square() * real).sum(dim=2, keepdim=True) / count + self.eps).rsqrt()
        found = centred * deviation * self.weight[:, None].float() + self.bias[:, None].float()
        return found.to(input.dtype)


def mask_group_norms(model: nn.Module) -> list[MaskedGroupNorm]:
    """Give the group norms of a model's convolutions the class above; names and values stay."""
    found = []
    for module in model.modules():
        if type(module) is nn.GroupNorm and module.num_groups == module.num_channels and module.affine:
            module.__class__ = MaskedGroupNorm
            found.append(module)
    return found  # type: ignore[return-value]


@contextmanager
def real_frames(model: nn.Module, frames: Tensor | None) -> Iterator[None]:
    """Inside the block, only the first `frames` [B] positions of a row count in the statistics; None: all."""
    norms = [module for module in model.modules() if isinstance(module, MaskedGroupNorm)]
    for norm in norms:
        norm.frames = frames
    try:
        yield
    finally:
        for norm in norms:
            norm.frames = None
