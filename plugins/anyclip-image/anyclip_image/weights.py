"""Loading published weights into a wrapped model: every tensor must fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from anyclip.errors import CheckpointError


def load_strict(model: nn.Module, state: Mapping[str, Tensor], *, where: str, ignore: Iterable[str] = ()) -> None:
    """Load all of `state`; names in `ignore` may be missing from the model.

    Raises CheckpointError that lists missing, unexpected and misshapen tensors.
    """
    ignored = set(ignore)
    wanted = model.state_dict()
    state = {name: tensor for name, tensor in state.items() if name not in ignored}
    missing = sorted(set(wanted) - set(state))
    unexpected = sorted(set(state) - set(wanted))
    misshapen = [
        f"{name} {tuple(state[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in sorted(set(state) & set(wanted))
        if state[name].shape != wanted[name].shape
    ]
    problems = [
        f"{len(names)} {what}: {shorten(names)}"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen))
        if names
    ]
    if problems:
        raise CheckpointError("the weights do not fit the model. Tensors " + "; ".join(problems) + ".", where=where)
    model.load_state_dict(dict(state))


def shorten(names: list[Any], most: int = 8) -> str:
    """`a, b, c ... and 5 more`."""
    text = ", ".join(map(str, names[:most]))
    return text if len(names) <= most else f"{text} ... and {len(names) - most} more"
