"""An exponential moving average of the weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from anyclip.checkpoint.tensors import module_state, shard_like


class Ema:
    """Averages the trainable parameters of a model in at least fp32; frozen ones and buffers stay the model's.

    After step t (from 0) the average moves by `1 - min(decay, (1 + t) / (10 + t))` towards the weights, so that short
    runs do not keep their first weights (the ramp of TensorFlow's ExponentialMovingAverage).
    """

    def __init__(self, model: nn.Module, decay: float):
        self.model, self.decay = model, decay
        self._live = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._average = {n: _widen(p.detach().clone()) for n, p in self._live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the averages after optimizer step number `step`."""
        decay = min(self.decay, (1 + step) / (10 + step))
        average = list(self._average.values())
        torch._foreach_lerp_(average, [p.detach().to(a.dtype) for p, a in zip(self._live.values(), average)], 1 - decay)

    @contextlib.contextmanager
    @torch.no_grad()
    def applied(self) -> Iterator[None]:
        """Inside the block the model holds the averaged weights."""
        kept = {n: p.detach().clone() for n, p in self._live.items()}
        self._copy(self._average)
        try:
            yield
        finally:
            self._copy(kept)

    @torch.no_grad()
    def _copy(self, values: Mapping[str, Tensor]) -> None:
        for name, parameter in self._live.items():
            parameter.copy_(values[name])

    def state(self, *, keep: bool = True) -> dict[str, Tensor]:
        """The whole model's state with averaged weights, on the CPU (a collective call when sharded)."""
        return module_state(self.model, keep=keep, instead={id(p): self._average[n] for n, p in self._live.items()})

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave; the model itself is not changed."""
        with torch.no_grad():
            for name, average in self._average.items():
                average.copy_(shard_like(state[name], average))


def _widen(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
