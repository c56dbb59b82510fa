"""What a tower's vectors depend on, as digests: weights, processor, versions."""

from __future__ import annotations

import hashlib
import pickle
import re
from importlib import metadata

import numpy as np
import torch
from torch import Tensor, nn

from anyclip.processors import Processor

_BASE = ("anyclip", "torch", "numpy")


def weights_digest(module: nn.Module) -> str:
    """Names, types, shapes and bytes of every parameter and buffer."""
    hashed = hashlib.blake2b(digest_size=16)
    tensors = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    for name, tensor in sorted(tensors, key=lambda item: item[0]):
        hashed.update(f"{name} {tensor.dtype} {list(tensor.shape)}\0".encode())
        hashed.update(_bytes(tensor))
    return hashed.hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    plain = tensor.detach().cpu().contiguous().reshape(-1)
    return plain.view(torch.uint8).numpy().data if plain.numel() else memoryview(b"")


def processor_identity(processor: Processor) -> str:
    """The processor's key, and the content of attributes of which the key knows no more than the class."""
    parts = [processor.key()]
    for name, value in sorted(vars(processor).items()):
        if not _plain(value):
            digest = getattr(value, "digest", None)
            known = digest if isinstance(digest, str) else hashlib.blake2b(pickle.dumps(value)).hexdigest()
            parts.append(f"{name}={known}")
    return " ".join(parts)


def _plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(_plain(v) for v in value.values())
    if isinstance(value, (list, tuple)):
        return all(map(_plain, value))
    return isinstance(value, (str, int, float, bool, bytes, type(None), np.ndarray, Tensor))


def versions_of(distribution: str) -> dict[str, str]:
    """Versions of the core, of the tower's package and of what that package requires."""
    names = {*_BASE, distribution}
    try:
        requirements = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        requirements = []
    names |= {re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0] for text in requirements if "extra ==" not in text}
    found = {}
    for name in sorted(names):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found
