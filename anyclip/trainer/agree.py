"""One decision for all processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric

from anyclip.errors import UserError

Value = TypeVar("Value")


class ToldElsewhere(UserError):
    """An error that the first process tells the user; the others only end."""


def on_main(fabric: Fabric, function: Callable[[], Value]) -> Value | None:
    """Call `function` on the first process only, and fail everywhere when it fails there with a UserError.

    Every process calls this. Returns the value on the first process, None on the others.
    """
    value, error = None, None
    if fabric.is_global_zero:
        try:
            value = function()
        except UserError as raised:
            error = raised
    if fabric.world_size > 1:
        failed = fabric.broadcast(str(error) if error else None)
        if failed is not None and error is None:
            raise ToldElsewhere(failed)
    if error is not None:
        raise error
    return value


def shared(fabric: Fabric, function: Callable[[], Value]) -> Value:
    """`on_main`, with the value sent to every process (anything picklable)."""
    value = on_main(fabric, function)
    return value if fabric.world_size == 1 else fabric.broadcast(value)  # type: ignore[return-value]


def raise_any(fabric: Fabric, error: UserError | None) -> None:
    """Raise everywhere when any process has an error; the first process tells the error of the lowest rank.

    Every process calls this, at the same place.
    """
    if fabric.world_size == 1:
        if error is not None:
            raise error
        return
    errors: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(errors, error)
    found = next((e for e in errors if e is not None), None)
    if found is not None:
        raise found if fabric.is_global_zero else ToldElsewhere(found.message)


def together(fabric: Fabric, function: Callable[[], Value]) -> Value:
    """Call `function` on every process; when it fails with a UserError on any, fail everywhere and tell it once.

    `function` may only call collectives in places that no process reaches after another has failed.
    """
    error: UserError | None = None
    try:
        value = function()
    except UserError as raised:
        error = raised
    raise_any(fabric, error)
    return value


def gather(fabric: Fabric, value: Value) -> list[Value]:
    """The value of every process, on every process (anything picklable)."""
    if fabric.world_size == 1:
        return [value]
    values: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(values, value)
    return values


def largest(fabric: Fabric, *values: float) -> list[float]:
    """The largest of each value over all processes."""
    return _reduce(fabric, values, "MAX")


def summed(fabric: Fabric, *values: float) -> list[float]:
    """The sum of each value over all processes."""
    return _reduce(fabric, values, "SUM")


def _reduce(fabric: Fabric, values: tuple[float, ...], operation: str) -> list[float]:
    if fabric.world_size == 1:
        return list(values)
    dtype = torch.float32 if fabric.device.type == "mps" else torch.float64
    packed = torch.tensor(values, dtype=dtype, device=fabric.device)
    torch.distributed.all_reduce(packed, op=getattr(torch.distributed.ReduceOp, operation))
    return packed.tolist()
