"""Tensors that several modules share are saved once, under their first name."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


def aliases(module: nn.Module) -> dict[str, str]:
    """Second and later names of shared parameters and buffers -> their first name."""
    first: dict[int, str] = {}
    found: dict[str, str] = {}
    for named in (module.named_parameters, module.named_buffers):
        for name, tensor in named(remove_duplicate=False):
            if first.setdefault(id(tensor), name) != name:
                found[name] = first[id(tensor)]
    return found


def share_state(module: nn.Module) -> None:
    """Make `module.state_dict()` hold each shared tensor once, and `load_state_dict` accept that."""
    module.register_state_dict_post_hook(_drop_aliases)
    module.register_load_state_dict_pre_hook(_add_aliases)


def _drop_aliases(module: nn.Module, state: dict[str, Tensor], prefix: str, metadata: Any) -> None:
    for name in aliases(module):
        state.pop(prefix + name, None)


def _add_aliases(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    for name, first in aliases(module).items():
        if prefix + name not in state and prefix + first in state:
            state[prefix + name] = state[prefix + first]
