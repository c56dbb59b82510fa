"""Read the weights of published checkpoints: safetensors, and PyTorch files without ever running code from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from anyclip.checkpoint.torchfile import read_torch_file
from anyclip.checkpoint.unpickle import plain_value
from anyclip.errors import CheckpointError

WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net", "weights")
PREFIXES = ("module.", "_orig_mod.")
_IN_FOLDER = (
    "model.safetensors",
    "model.safetensors.index.json",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "open_clip_pytorch_model.bin",
)


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name, on the CPU, in the file's dtypes.

    path: a safetensors file, a PyTorch file (`.pt`, `.pth`, `.bin`, TorchScript archives and the format before 1.6
    included), the index of a sharded checkpoint, or a folder that holds one of these. Pickles are read by a restricted
    unpickler: nothing in the file is run. Common wrappers (`state_dict`, `model`) and prefixes (`module.`,
    `_orig_mod.`) are taken off. Raises CheckpointError: missing, damaged, cut short, unsafe, or without tensors.
    """
    path = Path(path)
    if path.is_dir():
        path = _in_folder(path)
    if not path.is_file():
        raise CheckpointError("there is no such file.", where=str(path))
    if path.name.endswith(".index.json"):
        return _sharded(path)
    head = _head(path)
    if _is_safetensors(head, path):
        return _unprefixed(_safetensors(path))
    if not head.startswith((b"PK", b"\x80")):
        raise CheckpointError(f"this is no checkpoint: {_looks_like(head)}.", where=str(path))
    return unwrap(read_torch_file(path), where=str(path))


def _in_folder(folder: Path) -> Path:
    for name in _IN_FOLDER:
        if (folder / name).is_file():
            return folder / name
    found = [p for pattern in ("*.safetensors", "*.pt", "*.pth", "*.bin") for p in sorted(folder.glob(pattern))]
    if len(found) == 1:
        return found[0]
    held = ", ".join(p.name for p in found[:8]) or "no weights"
    raise CheckpointError(f"the folder holds {held}.", where=str(folder), hint="Name the file.")


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(256)
    except OSError as error:
        raise CheckpointError(f"cannot be read: {error.strerror}.", where=str(path)) from error


def _is_safetensors(head: bytes, path: Path) -> bool:
    return path.suffix == ".safetensors" or (len(head) > 8 and head[8:9] == b"{")


def _looks_like(head: bytes) -> str:
    text = head.lstrip().lower()
    if not head:
        return "it is empty"
    if text.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, the weights were not fetched (git lfs pull)"
    if text.startswith((b"<!doctype", b"<html")):
        return "it is a web page, perhaps an error page of a download"
    return "it begins like neither safetensors nor PyTorch"


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"damaged or cut short: {error}.", where=str(path)) from error


def _sharded(index: Path) -> dict[str, Tensor]:
    """Every shard that a `*.index.json` names, checked against the tensors it promises."""
    try:
        places = json.loads(index.read_text())["weight_map"]
        shards = sorted(set(places.values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"no valid index of shards: {error!r}.", where=str(index)) from error
    state: dict[str, Tensor] = {}
    for shard in shards:
        if Path(shard).name != shard:
            raise CheckpointError(f"names a shard outside its folder: {shard!r}.", where=str(index))
        state |= read_state(index.parent / shard)
    missing = sorted(set(_unprefixed(places)) - set(state))
    if missing:
        raise CheckpointError(f"{len(missing)} tensors are in no shard: {', '.join(missing[:6])}.", where=str(index))
    return state


def unwrap(content: Any, *, where: str = "") -> dict[str, Tensor]:
    """The state dict inside what a training program saved: wrappers and prefixes off, numbers as 0-d tensors.

    Raises CheckpointError, listing the top-level names, when there are no tensors.
    """
    found = content
    for _ in range(4):
        if not isinstance(found, Mapping):
            break
        inner = next(
            (found[k] for k in WRAPPERS if isinstance(found.get(k), Mapping) and _holds_tensors(found[k])), None
        )
        if inner is None or any(isinstance(value, Tensor) for value in found.values()):
            break
        found = inner
    if not isinstance(found, Mapping):
        raise CheckpointError(f"holds a {type(found).__name__}, not named tensors.", where=where or None)
    state = {str(name): tensor for name, value in found.items() if (tensor := _tensor(value)) is not None}
    if not any(isinstance(value, Tensor) for value in found.values()) and not state:
        names = ", ".join(map(str, list(found)[:12])) or "nothing"
        raise CheckpointError(f"holds no tensors; at its top: {names}.", where=where or None)
    return _unprefixed(state)


def _holds_tensors(value: Any, depth: int = 3) -> bool:
    if isinstance(value, Mapping) and depth:
        return any(isinstance(v, Tensor) or _holds_tensors(v, depth - 1) for v in value.values())
    return False


def _tensor(value: Any) -> Tensor | None:
    value = plain_value(value)
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return torch.from_numpy(np.ascontiguousarray(value.astype(value.dtype.newbyteorder("="))))
    if isinstance(value, (np.number, np.bool_)):
        return torch.from_numpy(np.asarray(value.astype(value.dtype.newbyteorder("="))).copy())
    return None


def _unprefixed(state: Mapping[str, Any]) -> dict[str, Any]:
    changed = True
    while changed and state:
        changed = False
        for prefix in PREFIXES:
            if all(name.startswith(prefix) for name in state):
                state, changed = {name[len(prefix) :]: tensor for name, tensor in state.items()}, True
    return dict(state)
