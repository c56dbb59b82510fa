"""Random generators keyed by what they are for: a draw depends on no worker, no order and no process."""

from __future__ import annotations

import hashlib

import numpy as np


def keyed_generator(*key: int | str) -> np.random.Generator:
    """The generator of a key such as (seed, epoch, dataset, row, stream); equal keys give equal draws.

    Philox (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011) is counter-based: distinct keys are
    independent streams. The 128-bit key is a digest, so that no arithmetic on the parts can make two keys meet.
    """
    text = "\0".join(f"{type(part).__name__}:{part}" for part in key)
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
