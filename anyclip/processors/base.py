"""The interface of a processor."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Processor(ABC):
    """decode + transform + collate of one tower: light, picklable, without weights.

    `load` and `collate` run in loader workers. Evaluation (`rng=None`) is deterministic: the same value gives the
    same sample, whatever its batch mates.
    """

    version: str = "1"  # part of the cache key; raise it when `load` gives other numbers

    @property
    def deterministic(self) -> bool:
        """Whether `load` gives the same sample in training (with any `rng`) as in evaluation.

        A processor that augments nothing says True, as its options stand; only then may its tower have `cache: true`.
        Its options dataclass may say so too, by a property of this name: `anyclip check` reads it.
        """
        return False

    @abstractmethod
    def load(self, value: Any, *, rng: np.random.Generator | None = None) -> Any:
        """A path, `Blob`, bytes, array or string -> one sample (`rng` None: no augmentation). Raises BadSample."""

    @abstractmethod
    def collate(self, samples: list[Any]) -> Any:
        """Samples -> inputs of the tower: a tensor, or a dict of tensors, whose axis 0 is the rows."""

    @abstractmethod
    def placeholder(self) -> Any:
        """The smallest valid sample, of a fixed shape; runs a tower on a process that has no rows."""

    def key(self) -> str:
        """Identity for caches: class, version and settings (plain attributes)."""
        text = f"{type(self).__module__}.{type(self).__qualname__}:{self.version}:{_stable(vars(self))}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _stable(value: Any) -> str:
    if is_dataclass(value) and not isinstance(value, type):
        return f"{type(value).__qualname__}({_stable(asdict(value))})"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{k}:{_stable(v)}" for k, v in sorted(value.items(), key=lambda kv: str(kv[0]))) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_stable, value)) + "]"
    if isinstance(value, (str, int, float, bool, bytes, type(None))):
        return repr(value)
    if isinstance(value, (np.ndarray, Tensor)):
        return hashlib.blake2b(np.asarray(value).tobytes(), digest_size=8).hexdigest()
    return f"{type(value).__module__}.{type(value).__qualname__}"


def to_device(inputs: Any, device: torch.device | str, *, non_blocking: bool = True) -> Any:
    """Move collated inputs (tensors in dicts, sequences, dataclasses) to a device."""
    return map_tensors(inputs, lambda x: x.to(device, non_blocking=non_blocking))


def to_dtype(inputs: Any, dtype: torch.dtype) -> Any:
    """Give the floating-point tensors of collated inputs another dtype."""
    return map_tensors(inputs, lambda x: x.to(dtype) if x.is_floating_point() else x)


def map_tensors(inputs: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Apply `function` to every tensor of collated inputs (in dicts, sequences, dataclasses)."""
    if isinstance(inputs, Tensor):
        return function(inputs)
    if isinstance(inputs, Mapping):
        return {k: map_tensors(v, function) for k, v in inputs.items()}
    if is_dataclass(inputs) and not isinstance(inputs, type):
        return replace(inputs, **{f.name: map_tensors(getattr(inputs, f.name), function) for f in fields(inputs)})
    if isinstance(inputs, Sequence) and not isinstance(inputs, (str, bytes)):
        return type(inputs)(map_tensors(v, function) for v in inputs)  # type: ignore[call-arg]
    return inputs
