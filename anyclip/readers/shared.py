"""Large arrays of a reader in loader workers: one memory-mapped file for all instead of a copy in each."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np

from anyclip.readers.paths import cache_folder

SPILL = 1 << 23
"""Arrays above 8 MiB are handed over as a file."""


def share(array: np.ndarray) -> np.ndarray | str:
    """What to pickle for an array: itself when small, else the path of an `.npy` file in the cache folder."""
    if isinstance(array, np.memmap):
        return str(array.filename)
    if array.nbytes <= SPILL:
        return array
    array = np.ascontiguousarray(array)
    digest = hashlib.blake2b(array.data.cast("B"), digest_size=12).hexdigest()
    path = cache_folder() / "rows" / f"{digest}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{digest}.{os.getpid()}.npy")
        try:
            np.save(part, array)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    return str(path)


def unshare(shared: Any) -> np.ndarray:
    """The array of `share`, memory-mapped when it is a file."""
    return np.load(shared, mmap_mode="r") if isinstance(shared, str) else shared
