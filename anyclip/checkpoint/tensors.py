"""Tensors to safetensors and back: contiguous, on the CPU, shared storage written once."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from anyclip.errors import CheckpointError

_SAME = "same"  # metadata key: JSON of {name left out: name that holds its tensor}


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors; names that are one and the same tensor are written once and both come back.

    Raises OSError when the disk is full or the file too large.
    """
    kept: dict[str, Tensor] = {}
    same: dict[str, str] = {}
    seen: dict[tuple, str] = {}
    for name, tensor in tensors.items():
        plain = tensor.detach()
        identity = (plain.data_ptr(), plain.shape, plain.stride(), plain.dtype, plain.device)
        if plain.numel() and identity in seen:
            same[name] = seen[identity]
            continue
        seen[identity] = name
        kept[name] = plain
    kept = _own_storage(kept)
    try:
        # one key where possible: the library writes several in random order, and equal states should be equal files
        save_file(kept, path, metadata={"format": "pt"} | ({_SAME: json.dumps(same)} if same else {}))
    except SafetensorError as error:  # the library hides the OSError in its text
        code = next((c for c in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT) if f"os error {c})" in str(error)), None)
        if code is None:
            raise
        raise OSError(code, os.strerror(code), str(path)) from error


def module_state(
    module: nn.Module, *, keep: bool = True, instead: Mapping[int, Tensor] | None = None
) -> dict[str, Tensor]:
    """The whole state of a module on the CPU, sharded tensors gathered one at a time.

    A collective call when the module is sharded: every process calls it, those with `keep=False` get an empty dict.
    Names of one shared parameter map to one tensor object. `instead`: id of a parameter -> the tensor to take for it.
    """
    gathered: dict[int, Tensor] = {}
    state: dict[str, Tensor] = {}
    for name, value in module.state_dict(keep_vars=True).items():
        if id(value) not in gathered:
            taken = instead[id(value)] if instead and id(value) in instead else value
            whole = full(taken.detach())
            gathered[id(value)] = whole.cpu() if keep else whole.new_empty(0)
        state[name] = gathered[id(value)]
    return state if keep else {}


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a file written by `save_tensors` (or any safetensors file), on the CPU.

    Raises CheckpointError when the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            same = json.loads((file.metadata() or {}).get(_SAME, "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"cannot be read: {error}.", where=str(path)) from error
    for name, holder in same.items():
        tensors[name] = tensors[holder]
    return tensors


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Load a complete state into a module; missing, unexpected and misshapen tensors are one error that lists them."""
    own = module.state_dict()
    problems = [f"missing: {n}" for n in own if n not in tensors]
    problems += [f"unexpected: {n}" for n in tensors if n not in own]
    problems += [
        f"{n}: shape {tuple(tensors[n].shape)} in the file, {tuple(own[n].shape)} in the model"
        for n in own
        if n in tensors and tensors[n].shape != own[n].shape
    ]
    if problems:
        raise CheckpointError("the tensors do not fit the model:\n  " + "\n  ".join(problems), where=where)
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(shard_like(tensors[name], value))


def full(tensor: Tensor) -> Tensor:
    """The whole of a sharded tensor (a collective call), or the tensor itself."""
    gather = getattr(tensor, "full_tensor", None)
    return gather() if gather is not None else tensor


def shard_like(whole: Tensor, like: Tensor) -> Tensor:
    """The same values placed as `like` is: this process's shard when `like` is sharded."""
    if not hasattr(like, "full_tensor"):
        return whole
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(whole.to(like.device, like.dtype), like.device_mesh, like.placements)  # type: ignore[attr-defined]


def _own_storage(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous CPU tensors of which no two overlap (views of one storage become copies)."""
    storages: set[int] = set()
    owned = {}
    for name, tensor in tensors.items():
        tensor = tensor.cpu().contiguous()
        pointer = tensor.untyped_storage().data_ptr()
        if tensor.numel() and (pointer in storages or tensor.untyped_storage().nbytes() != tensor.nbytes):
            tensor = tensor.clone()
        storages.add(tensor.untyped_storage().data_ptr())
        owned[name] = tensor
    return owned
