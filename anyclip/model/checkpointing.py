"""Activation checkpointing: a tower's layers run again in the backward pass instead of keeping what they computed."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from anyclip.model.buffers import buffers_kept
from anyclip.towers import Tower


def checkpoint_activations(tower: Tower) -> None:
    """Checkpoint each layer of `tower.layer_groups()`, or the tower as a whole when it names none.

    Same numbers as without: random draws are replayed, and the second run leaves buffers (BatchNorm statistics) alone.
    """
    modules = layer_modules(tower) or [tower]
    for module in modules:
        if getattr(module.forward, "func", None) is _checkpointed:
            continue  # a shared tower, already done
        module.forward = partial(_checkpointed, module, module.forward)


def layer_modules(tower: Tower) -> list[nn.Module]:
    """The layers that a tower calls one after the other: items of a ModuleList or Sequential in its layer groups."""
    found = []
    for prefix in (p for group in tower.layer_groups() for p in group):
        parent, _, item = prefix.rpartition(".")
        if item.isdigit() and isinstance(tower.get_submodule(parent), (nn.ModuleList, nn.Sequential)):
            found.append(tower.get_submodule(prefix))
    return found


def _checkpointed(module: nn.Module, forward: Any, *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)

    def contexts():
        return nullcontext(), buffers_kept(module)

    return checkpoint(forward, *args, use_reentrant=False, context_fn=contexts, **kwargs)
