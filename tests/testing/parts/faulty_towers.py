"""A sound tower of short series [T, 3], and towers that break one promise each."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from anyclip import BadSample, Encoding, Processor, Tower


class Series(Processor):
    """Arrays [T, 3] -> {"x": [B, T, 3], "mask": [B, T]}."""

    def load(self, value: Any, *, rng: np.random.Generator | None = None) -> Tensor:
        array = np.asarray(value) if isinstance(value, np.ndarray) else None
        if array is None or array.ndim != 2 or array.shape[1] != 3:
            raise BadSample(f"not a series of three columns: {type(value).__name__}")
        return torch.tensor(self.augment(array, rng), dtype=torch.float32)

    def augment(self, array: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        return array if rng is None else array + 0.01 * rng.standard_normal(array.shape)

    def collate(self, samples: list[Tensor]) -> dict[str, Tensor]:
        lengths = torch.tensor([len(s) for s in samples])
        x = pad_sequence(samples, batch_first=True)
        return {"x": x, "mask": torch.arange(x.shape[1]) < lengths[:, None]}

    def placeholder(self) -> Tensor:
        return torch.zeros(2, 3)


class Sound(Tower):
    """Breaks no promise."""

    processor_class: type[Processor] = Series

    def __init__(self, options: Any):
        super().__init__()
        self.width = options.width
        self.processor = self.processor_class()
        self.first, self.last = nn.Linear(3, self.width), nn.Linear(self.width, self.width)

    def forward(self, inputs: dict[str, Tensor]) -> Encoding:
        tokens = self.tokens(inputs)
        return Encoding(pooled=self.pool(tokens, inputs["mask"]), tokens=tokens, mask=inputs["mask"])

    def tokens(self, inputs: dict[str, Tensor]) -> Tensor:
        return torch.tanh(self.first(inputs["x"]))

    def pool(self, tokens: Tensor, mask: Tensor) -> Tensor:
        kept = mask[:, :, None].to(tokens.dtype)
        return self.last((tokens * kept).sum(1) / kept.sum(1))

    def layer_groups(self) -> list[list[str]]:
        return [["first"], ["last"]]


class BatchLeak(Sound):
    def pool(self, tokens, mask):
        pooled = super().pool(tokens, mask)
        return pooled - 0.5 * pooled.mean(0)


class PaddingUsed(Sound):
    def pool(self, tokens, mask):
        return self.last(tokens.amax(1))


class DeadParameter(Sound):
    def __init__(self, options):
        super().__init__(options)
        self.unused = nn.Linear(3, 3)

    def layer_groups(self):
        return [["first", "unused"], ["last"]]


class WrongWidth(Sound):
    def __init__(self, options):
        super().__init__(options)
        self.width = 2 * options.width


class RandomCrop(Sound):
    class processor_class(Series):
        def augment(self, array, rng):
            return array[np.random.default_rng().integers(2) :]


class RandomForward(Sound):
    def tokens(self, inputs):
        return super().tokens(inputs) + 0.1 * torch.randn(())


class Unpicklable(Sound):
    class processor_class(Series):
        def __init__(self):
            self.scale = lambda x: 2 * x


Unpicklable.processor_class.__qualname__ = "Unpicklable.processor_class"


class NaNForSilence(Sound):
    def tokens(self, inputs):
        x = inputs["x"]
        return torch.tanh(self.first(x / x.abs().amax((1, 2), keepdim=True)))


class InfiniteSlope(Sound):
    def tokens(self, inputs):
        return torch.tanh(self.first(inputs["x"]) * 0 + self.first.weight.sum(1) + (self.first.bias * 0).sqrt())


class InPlace(Sound):
    def tokens(self, inputs):
        inputs["x"] -= inputs["x"].mean(1, keepdim=True).detach() * 0.1
        return super().tokens(inputs)


class FixedDevice(Sound):
    def __init__(self, options):
        super().__init__(options)
        self.offset = torch.ones(3)

    def tokens(self, inputs):
        return torch.tanh(self.first(inputs["x"] + self.offset))


class NoMask(Sound):
    def forward(self, inputs):
        tokens = self.tokens(inputs)
        return Encoding(pooled=self.pool(tokens, inputs["mask"]), tokens=tokens)


class StateLost(Sound):
    def __init__(self, options):
        super().__init__(options)
        self.__dict__["codebook"] = torch.rand(3)

    def tokens(self, inputs):
        return torch.tanh(self.first(inputs["x"] * self.codebook.to(inputs["x"])))


class HeavyProcessor(Sound):
    class processor_class(Series):
        def __init__(self):
            self.net = nn.Linear(3, 3)


class GlobalAugmentation(Sound):
    class processor_class(Series):
        def augment(self, array, rng):
            return array if rng is None else array + torch.randn(array.shape).numpy()


class SilentMask(Sound):
    def forward(self, inputs, *, mask=None):
        return super().forward(inputs)


class SilentLayers(Sound):
    def forward(self, inputs, *, layers=()):
        return super().forward(inputs)


class WrongGroups(Sound):
    def layer_groups(self):
        return [["first"], ["head"]]


class TrainingNoise(Sound):
    def tokens(self, inputs):
        found = super().tokens(inputs)
        return found + torch.randn_like(found) if self.training else found


class Imprecise(Sound):
    def pool(self, tokens, mask):
        return (super().pool(tokens, mask) + 5000.0) - 5000.0


class Crashing(Sound):
    class processor_class(Series):
        def load(self, value, *, rng=None):
            return super().load(np.asarray(value, dtype=np.float32), rng=rng)


class Constant(Sound):
    def pool(self, tokens, mask):
        return super().pool(tokens * 0 + 1, mask)


class BadPlaceholder(Sound):
    class processor_class(Series):
        def placeholder(self):
            return torch.rand(2, 3)


class Locked(Sound):
    def __init__(self, options):
        super().__init__(options)
        self.lock = threading.Lock()


class RowsSecond(Sound):
    class processor_class(Series):
        def collate(self, samples):
            found = super().collate(samples)
            return {**found, "scale": torch.ones(1, len(samples))}


class ValueBranch(Sound):
    def tokens(self, inputs):
        found = super().tokens(inputs)
        return found if float(inputs["x"].sum()) > -1e9 else -found
