"""Frozen parameters: chosen by regular expression, and kept in eval mode."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from torch import nn

from anyclip.errors import UserError, did_you_mean


def freeze(module: nn.Module, patterns: bool | Sequence[str], *, where: str = "") -> None:
    """Stop parameters from learning: True for all, or those whose name a regular expression finds.

    Raises UserError for an expression that is malformed or finds nothing, with the nearest names.
    """
    if isinstance(patterns, bool):
        if patterns:
            module.requires_grad_(False)
        return
    parameters = dict(module.named_parameters())
    for pattern in patterns:
        for name in matching(pattern, parameters, where=where):
            parameters[name].requires_grad_(False)


def matching(pattern: str, names: Iterable[str], *, where: str = "") -> list[str]:
    """The names in which `pattern` is found; a UserError when there are none."""
    names = list(names)
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UserError(f"{pattern!r} is not a regular expression: {error}.", where=where or None) from error
    found = [name for name in names if expression.search(name)]
    if not found:
        prefixes = {".".join(n.split(".")[:depth]) for n in names for depth in range(1, n.count(".") + 2)}
        hint = did_you_mean(pattern, prefixes) if len(prefixes) < 5000 else ""
        if hint.startswith("Did") is False:
            hint = "Parameters begin with: " + ", ".join(sorted({n.split(".")[0] for n in names})) + "."
        raise UserError(f"{pattern!r} matches no parameter.", where=where or None, hint=hint)
    return found


def eval_frozen(module: nn.Module) -> None:
    """Put every part whose parameters are all frozen into eval mode: no dropout, fixed BatchNorm statistics."""
    learns = [p.requires_grad for p in module.parameters()]
    if learns and not any(learns):
        module.eval()
        return
    if learns and not all(learns):
        for child in module.children():
            eval_frozen(child)
