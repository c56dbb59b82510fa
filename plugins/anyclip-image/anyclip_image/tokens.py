"""Token axes: feature maps to tokens, dropping of patch tokens (FLIP, https://arxiv.org/abs/2212.00794)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from anyclip.errors import UserError


def to_tokens(x: Any, *, prefix: int = 0, channels_last: bool = False) -> Tensor:
    """[B, P + T, C], [B, C, H, W] or (channels_last) [B, H, W, C] -> [B, T, C]."""
    if isinstance(x, (tuple, list)):
        x = x[0]
    if x.ndim == 4:
        return x.flatten(1, 2) if channels_last else x.flatten(2).transpose(1, 2)
    return x[:, prefix:]


def take(x: Tensor, keep: Tensor, prefix: int) -> Tensor:
    """Prefix tokens of x [B, P + T, C] and the patch tokens at keep [B, K]."""
    index = torch.cat([torch.arange(prefix, device=x.device).expand(len(x), -1), keep + prefix], dim=1)
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))


class KeepTokens:
    """Forward hook: only the patch tokens where mask [B, T] is False go on."""

    def __init__(self, mask: Tensor, prefix: int, *, from_input: bool):
        dropped = mask.sum(dim=1)
        if mask.ndim != 2 or bool((dropped != dropped[0]).any()) or int(dropped[0]) == mask.shape[1]:
            raise UserError("a token mask is [B, T], drops as many tokens in every row, and keeps at least one.")
        # stable: kept tokens stay in their order
        order = torch.argsort(mask.to(torch.int8), dim=1, stable=True)
        self.keep = order[:, : mask.shape[1] - int(dropped[0])]
        self.tokens, self.prefix, self.from_input = mask.shape[1], prefix, from_input

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        x = args[0] if self.from_input else output
        x = x[0] if isinstance(x, tuple) else x
        if x.shape[1] != self.tokens + self.prefix:
            raise UserError(
                f"the token mask has {self.tokens} columns, the model {x.shape[1] - self.prefix} patch tokens."
            )
        return take(x, self.keep.to(x.device), self.prefix)


class PatchDrop:
    """Forward hook: in training a random share of the patch tokens is dropped, as many in every row."""

    def __init__(self, rate: float, prefix: int):
        self.rate, self.prefix, self.active = rate, prefix, True

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        if not module.training or not self.active:
            return output
        x = output[0] if isinstance(output, tuple) else output
        patches = x.shape[1] - self.prefix
        count = max(1, int(patches * (1 - self.rate)))
        keep = torch.rand(len(x), patches, device=x.device).topk(count, dim=1).indices
        return take(x, keep, self.prefix)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Off while the caller says which tokens to drop."""
        self.active = False
        try:
            yield
        finally:
            self.active = True
