"""Files and arrays to recordings. No torch here."""

from __future__ import annotations

import hashlib
import io
import os
from typing import Any

import numpy as np

from anyclip import BadSample
from anyclip.readers import Blob

COLUMNS = ("t", "ax", "ay", "az", "gx", "gy", "gz")
RATE = 50.0
"""Rate of arrays and .npy files that name none, Hz."""


def decode(value: Any) -> tuple[np.ndarray, float]:
    """Path, `Blob`, bytes, array [T, 6] or (array, rate) -> (float64 [T, 6], rate in Hz). Raises BadSample.

    Columns are acceleration x, y, z in m/s² and angular rate x, y, z in rad/s.
    """
    if isinstance(value, tuple):
        if len(value) != 2 or not isinstance(value[1], (int, float)):
            raise BadSample("a pair is (array, rate)")
        return _checked(value[0]), _rate(float(value[1]))
    if isinstance(value, np.ndarray):
        return _checked(value), RATE
    data, name = _bytes(value)
    try:
        if data[:6] == b"\x93NUMPY":
            return _checked(np.load(io.BytesIO(data), allow_pickle=False)), RATE
        return _csv(data.decode("utf-8-sig"))
    except (ValueError, OSError, EOFError) as error:
        raise BadSample(f"{name}: neither .npy nor CSV: {error}") from None


def _bytes(value: Any) -> tuple[bytes, str]:
    if isinstance(value, Blob):
        return value.data, value.name
    if isinstance(value, bytes):
        return value, "bytes"
    if not isinstance(value, (str, os.PathLike)):
        raise BadSample(f"a recording is a path, bytes, an array or (array, rate), not {type(value).__name__}")
    try:
        with open(value, "rb") as file:
            return file.read(), os.fspath(value)
    except OSError as error:
        raise BadSample(f"{os.fspath(value)}: {error.strerror}") from None


def _csv(text: str) -> tuple[np.ndarray, float]:
    """A header with the columns in any order; uneven times are interpolated onto even ones."""
    header, _, body = text.partition("\n")
    names = [name.strip().lower() for name in header.split(",")]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise BadSample(f"the header lacks {', '.join(missing)}; it has {', '.join(names)[:80]}")
    table = np.loadtxt(io.StringIO(body), delimiter=",", ndmin=2)[:, [names.index(name) for name in COLUMNS]]
    times, values = table[:, 0], _checked(table[:, 1:])
    steps = np.diff(times)
    if not np.isfinite(times).all() or (steps <= 0).any():
        raise BadSample("the times do not rise")
    rate = _rate(1.0 / float(np.median(steps)))
    even = np.arange(times[0], times[-1] + 0.5 / rate, 1 / rate)
    return np.stack([np.interp(even, times, column) for column in values.T], axis=1), rate


def _checked(values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 2 or array.shape[1] != 6 or len(array) < 2 or array.dtype.kind not in "fiu":
        raise BadSample(f"a recording is [T, 6] with two samples or more, this is {array.dtype} {list(array.shape)}")
    if not np.isfinite(array).all():
        raise BadSample("holds numbers that are not finite")
    return array.astype(np.float64)


def _rate(rate: float) -> float:
    if not 0.1 <= rate <= 100_000:
        raise BadSample(f"a rate of {rate:g} Hz is none that sensors have")
    return rate


def resample(values: np.ndarray, rate: float, wanted: float) -> np.ndarray:
    """[T, 6] at another rate: averaged first where it falls, then interpolated."""
    block = int(rate // wanted)
    if block > 1 and len(values) >= 2 * block:
        kept = len(values) // block * block
        values, rate = values[:kept].reshape(-1, block, values.shape[1]).mean(axis=1), rate / block
    count = max(2, round(len(values) * wanted / rate))
    at = np.linspace(0, len(values) - 1, count)
    return np.stack([np.interp(at, np.arange(len(values)), column) for column in values.T], axis=1)


def content_key(value: Any) -> str:
    """Digest of the samples and their rate."""
    values, rate = decode(value)
    return hashlib.blake2b(values.tobytes() + repr(rate).encode(), digest_size=16).hexdigest()
