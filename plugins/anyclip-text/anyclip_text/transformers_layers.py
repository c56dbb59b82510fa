"""Find the stack of layers inside a transformers model, whatever its names."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn


def find_layers(model: nn.Module) -> nn.ModuleList:
    """The longest ModuleList of the model: its layers."""
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=len) if lists else nn.ModuleList()


def group_by_layer(tower: nn.Module, *, last: Sequence[str] = ()) -> list[list[str]]:
    """Parameter-name prefixes by depth: what is registered before the layers, each layer, what comes after.

    last: prefixes that belong to the end wherever they are registered.
    """
    layers = find_layers(tower)
    stack = next(name for name, module in tower.named_modules() if module is layers) if len(layers) else ""
    before: dict[str, None] = {}
    after: dict[str, None] = {}
    seen_layers = False
    for name, _ in tower.named_parameters():
        if stack and name.startswith(stack + "."):
            seen_layers = True
        else:
            at_end = seen_layers or name.startswith(tuple(last))
            (after if at_end else before)[name.rsplit(".", 1)[0]] = None
    groups = [list(before), *([f"{stack}.{i}"] for i in range(len(layers))), list(after)]
    return [group for group in groups if group]
