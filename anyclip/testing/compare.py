"""Tensors inside collated inputs: find, copy, change and compare them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from torch import Tensor

from anyclip.processors.base import map_tensors
from anyclip.testing.kit import Fault

TOLERANCE = 1e-3  # of the largest value; float32 kernels differ by batch size at 1e-6, faults by 1e-2 and more


def tensors(inputs: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """(path, tensor) of everything inside inputs; the path reads like Python: `['ids']`, `.wave`, `[0]`."""
    if isinstance(inputs, Tensor):
        yield path, inputs
    elif isinstance(inputs, Mapping):
        for key, value in inputs.items():
            yield from tensors(value, f"{path}[{key!r}]")
    elif is_dataclass(inputs) and not isinstance(inputs, type):
        for f in fields(inputs):
            yield from tensors(getattr(inputs, f.name), f"{path}.{f.name}")
    elif isinstance(inputs, Sequence) and not isinstance(inputs, (str, bytes)):
        for i, value in enumerate(inputs):
            yield from tensors(value, f"{path}[{i}]")


def cloned(inputs: Any) -> Any:
    """A copy that shares no memory."""
    return map_tensors(inputs, lambda x: x.detach().clone())


def same(a: Any, b: Any) -> bool:
    """Whether two inputs or samples hold the same: tensors and arrays bit for bit, other values by equality."""
    one, two = list(_leaves(a)), list(_leaves(b))
    return len(one) == len(two) and all(map(_equal, one, two))


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for key in value:
            yield key
            yield from _leaves(value[key])
    elif is_dataclass(value) and not isinstance(value, type):
        for f in fields(value):
            yield from _leaves(getattr(value, f.name))
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        yield len(value)
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _equal(x: Any, y: Any) -> bool:
    if isinstance(x, (Tensor, np.ndarray)):
        if type(x) is not type(y) or x.dtype != y.dtype or x.shape != y.shape:
            return False
        one, two = np.asarray(x.detach() if isinstance(x, Tensor) else x), np.asarray(y)
        return one.tobytes() == two.tobytes()
    return bool(x == y)


def difference(got: Tensor, want: Tensor) -> float:
    """Largest difference as a share of the largest wanted value; inf where shapes differ or a value is not finite."""
    if got.shape != want.shape:
        return float("inf")
    if not got.numel():
        return 0.0
    got, want = got.detach().double(), want.detach().double()
    error = float((got - want).abs().max())
    size = max(float(want.abs().max()), 1e-6)
    return error / size if error == error else float("inf")


def require_close(got: Tensor, want: Tensor, fault: str, mend: str, tolerance: float = TOLERANCE) -> None:
    """Raises Fault with the difference in its text."""
    found = difference(got, want)
    if found > tolerance:
        shapes = "" if got.shape == want.shape else f"; shapes {list(got.shape)} and {list(want.shape)}"
        raise Fault(f"{fault} (difference {found:.1e} of the largest value{shapes}).", mend)
