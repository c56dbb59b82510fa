"""The processor of towers over discrete codes: sequences of whole numbers, such as a speech codec's."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anyclip.errors import BadSample
from anyclip.processors import Processor
from anyclip.readers import Blob
from anyclip_audio.speech_options import CodesOptions

_NPY = b"\x93NUMPY"


class CodesProcessor(Processor):
    """A list or array of whole numbers, or a file of them (.npy, .json, numbers in text) -> int64 [T].

    Collated: {"codes": int64 [B, T], "mask": bool [B, T]}, mask True = a code. size: one more than the largest code.
    """

    def __init__(self, options: CodesOptions, size: int):
        self.size, self.length, self.long = size, options.length, options.long
        self.train_crop, self.mask_codes, self.pad_id = options.train_crop, options.mask_codes, options.pad_id

    @property
    def deterministic(self) -> bool:
        return self.train_crop == "same" and not self.mask_codes

    def load(self, value: Any, *, rng: np.random.Generator | None = None) -> Tensor:
        """`rng` draws the part of a long sequence and the codes that are left out. Raises BadSample(reason)."""
        codes = self._checked(_numbers(value))
        over = len(codes) - self.length
        if over > 0:
            start = 0 if self.long == "start" else over // 2
            if rng is not None and self.train_crop == "random":
                start = int(rng.integers(0, over + 1))
            codes = codes[start : start + self.length]
        if rng is not None and self.mask_codes:
            kept = rng.random(len(codes)) >= self.mask_codes
            kept[int(rng.integers(len(codes)))] = True
            codes = codes[kept]
        return torch.from_numpy(np.ascontiguousarray(codes))

    def _checked(self, codes: np.ndarray) -> np.ndarray:
        if codes.ndim == 2 and 1 in codes.shape:
            codes = codes.reshape(-1)
        if codes.ndim != 1 or not codes.size:
            raise BadSample(f"codes of shape {list(codes.shape)}; one sequence of at least one code is needed")
        if codes.dtype.kind == "f" and not (np.isfinite(codes).all() and (codes == np.floor(codes)).all()):
            raise BadSample("codes that are no whole numbers")
        if codes.dtype.kind not in "iuf":
            raise BadSample(f"{codes.dtype} where whole numbers belong")
        low, high = int(codes.min()), int(codes.max())
        if low < 0 or high >= self.size:
            raise BadSample(f"code {low if low < 0 else high}, the model knows 0 to {self.size - 1}")
        return codes.astype(np.int64)

    def collate(self, samples: list[Tensor]) -> dict[str, Tensor]:
        longest = max(map(len, samples))
        codes = torch.full((len(samples), longest), self.pad_id, dtype=torch.int64)
        mask = torch.zeros(codes.shape, dtype=torch.bool)
        for row, sample in enumerate(samples):
            codes[row, : len(sample)] = sample
            mask[row, : len(sample)] = True
        return {"codes": codes, "mask": mask}

    def placeholder(self) -> Tensor:
        return torch.zeros(1, dtype=torch.int64)


def _numbers(value: Any) -> np.ndarray:
    """The numbers of a value, as they stand. Raises BadSample."""
    if isinstance(value, (str, Path)):
        try:
            return _parsed(Path(value).read_bytes())
        except OSError as error:
            reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
            raise BadSample(f"{value}: {reason}") from error
    if isinstance(value, Blob):
        value = value.data
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _parsed(bytes(value))
    if isinstance(value, tuple) and len(value) == 2 and np.ndim(value[0]) and not np.ndim(value[1]):
        raise BadSample("a sound where codes belong: run a codec or quantiser first")
    return _array(value)


def _parsed(data: bytes) -> np.ndarray:
    """.npy, JSON, or numbers between white space and commas."""
    if not data.strip():
        raise BadSample("no bytes")
    try:
        if data.startswith(_NPY):
            return np.load(io.BytesIO(data), allow_pickle=False)
        text = data.decode("ascii").strip()
        return _array(json.loads(text) if text.startswith("[") else [int(n) for n in text.replace(",", " ").split()])
    except (ValueError, EOFError, OSError) as error:
        raise BadSample("no sequence of codes: .npy, JSON or whole numbers in text are read") from error


def _array(value: Any) -> np.ndarray:
    try:
        found = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
    except (ValueError, TypeError) as error:
        raise BadSample("no sequence of codes") from error
    if found.dtype.kind not in "iuf":
        raise BadSample(f"{type(value).__name__} where a sequence of codes belongs")
    return found
