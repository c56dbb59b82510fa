"""The processor of `video/features`: files and arrays of feature vectors."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anyclip.errors import BadSample
from anyclip.processors import Processor
from anyclip.readers import Blob
from anyclip_video.tower_options import FeaturesOptions

_ZIP, _NPY = b"PK", b"\x93NUMPY"


class FeaturesProcessor(Processor):
    """.npy or .npz file (path, URL, bytes) or array [T, dim] -> {"features": float32 [B, T, dim], "mask": bool [B, T]}.

    mask True = a real vector; T is the longest of the batch.
    """

    def __init__(self, options: FeaturesOptions):
        self.dim, self.length, self.long = options.dim, options.length, options.long

    @property
    def deterministic(self) -> bool:
        return self.long != "window"

    def load(self, value: Any, *, rng: np.random.Generator | None = None) -> Tensor:
        """float32 [T, dim], T at most `length`. Raises BadSample."""
        features, name = read_features(value)
        if features.dtype.kind not in "fiu":
            raise BadSample(f"{name}: holds {features.dtype}, not numbers")
        if features.ndim != 2 or features.shape[1] != self.dim or not len(features):
            raise BadSample(f"{name}: features are {list(features.shape)}, not [T, {self.dim}]")
        chosen = features[self._rows(len(features), rng)].astype(np.float32)
        if not np.isfinite(chosen).all():
            raise BadSample(f"{name}: features hold values that are not finite")
        return torch.from_numpy(chosen)

    def _rows(self, count: int, rng: np.random.Generator | None) -> np.ndarray:
        if count <= self.length or self.long == "head":
            return np.arange(min(count, self.length))
        if self.long == "uniform":
            return np.linspace(0, count - 1, self.length).astype(int)
        spare = count - self.length
        start = spare // 2 if rng is None else int(rng.integers(spare + 1))
        return np.arange(start, start + self.length)

    def collate(self, samples: list[Tensor]) -> dict[str, Tensor]:
        longest = max(map(len, samples))
        features = torch.zeros(len(samples), longest, self.dim)
        mask = torch.zeros(len(samples), longest, dtype=torch.bool)
        for row, sample in enumerate(samples):
            features[row, : len(sample)] = sample
            mask[row, : len(sample)] = True
        return {"features": features, "mask": mask}

    def placeholder(self) -> Tensor:
        return torch.zeros(1, self.dim)


def read_features(value: Any) -> tuple[np.ndarray, str]:
    """(array, what to call it) of a value; a .npz file gives its only array. Raises BadSample. Runs no code."""
    if isinstance(value, (np.ndarray, Tensor)):
        return np.asarray(value), "array"
    if isinstance(value, Mapping):
        whole = value["path"] if value.get("bytes") is None else Blob(value["bytes"], str(value.get("path") or "bytes"))
        return _part(*read_features(whole), value)
    if isinstance(value, (list, tuple)):
        return _checked(lambda: np.asarray(value, dtype=np.float32), "list"), "list"
    if isinstance(value, Blob):
        data, name = value.data, value.name
    elif isinstance(value, (bytes, bytearray, memoryview)):
        data, name = bytes(value), "bytes"
    elif isinstance(value, (str, os.PathLike)):
        data, name = _file(os.fspath(value)), os.path.basename(os.fspath(value))
    else:
        raise BadSample(f"a {type(value).__name__} is neither a file nor an array of features")
    if not data.startswith((_ZIP, _NPY)):
        raise BadSample(f"{name}: is no .npy or .npz file" if data else f"{name}: the file is empty")
    return _checked(lambda: _array(data), name), name


def _part(features: np.ndarray, name: str, value: Mapping[str, Any]) -> tuple[np.ndarray, str]:
    """The vectors of `start` to `end` in seconds, `rate` of them a second (default 1), at least one."""
    start, end = value.get("start"), value.get("end")
    if (start is None and end is None) or features.ndim != 2:
        return features, name
    rate = float(value.get("rate") or 1.0)
    first = int(float(start or 0.0) * rate)
    last = len(features) if end is None else max(first + 1, math.ceil(float(end) * rate - 1e-6))
    if not 0 <= first < len(features):
        raise BadSample(
            f"{name}: the part from {float(start or 0.0):g} s on is not in it: it has {len(features)} vectors"
        )
    return features[first:last], name


def _file(path: str) -> bytes:
    import fsspec

    try:
        with fsspec.open(path, "rb") as file:
            return file.read()  # type: ignore[union-attr]
    except (OSError, ValueError) as error:
        raise BadSample(f"{os.path.basename(path)}: cannot be read: {getattr(error, 'strerror', error)}") from error


def _array(data: bytes) -> np.ndarray:
    found = np.load(io.BytesIO(data), allow_pickle=False)
    if isinstance(found, np.ndarray):
        return found
    if len(found.files) != 1:
        raise ValueError(f"holds {len(found.files)} arrays, not one")
    return found[found.files[0]]


def _checked(read: Any, name: str) -> np.ndarray:
    try:
        found = read()
    except Exception as error:  # numpy and zipfile raise many kinds for a damaged file
        raise BadSample(f"{name}: cannot be read: {' '.join(str(error).split())[:200]}") from error
    return found


def example_features(n: int) -> list[np.ndarray]:
    """n arrays of different lengths with 12 columns, to try the tower with."""
    rng = np.random.Generator(np.random.Philox(0))
    return [rng.normal(size=(2 + i % 4, 12)).astype(np.float32) for i in range(n)]
