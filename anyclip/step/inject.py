"""Put known gradients into a backward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def inject(tensors: Sequence[Tensor], grads: Sequence[Tensor | None], device: torch.device) -> Tensor:
    """A scalar 0 whose backward gives each tensor its gradient.

    With None a tensor gets no gradient but counts as used, which is what DDP waits for.
    """
    return _Inject.apply(device, tuple(grads), *tensors)  # type: ignore[return-value]


class _Inject(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, device: torch.device, grads: tuple[Tensor | None, ...], *tensors: Tensor) -> Tensor:
        ctx.grads = grads
        return torch.zeros((), device=device)

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Any, ...]:
        return (None, None, *(None if g is None else _times(g, factor) for g in ctx.grads))


def _times(grad: Tensor, factor: Tensor) -> Tensor:
    if grad.dtype in (torch.float16, torch.bfloat16):  # a loss scale may not fit into half precision
        return (grad.float() * factor).to(grad.dtype)
    return grad * factor.to(grad.dtype)
