"""What may stand in a row: which values are usable, which are broken, and the reason."""

from __future__ import annotations

import traceback
from numbers import Number
from typing import Any

import numpy as np

from anyclip.errors import BadSample
from anyclip.readers import Blob


def alternatives(value: Any, *, text: bool) -> list[Any]:
    """The values a cell offers: a list holds alternatives (several captions), anything else is one value.

    A (nested) list of numbers is one value, a vector or a table, unless the modality's values are strings.
    Raises BadSample for an empty list.
    """
    if not isinstance(value, list):
        return [value]
    if not value:
        raise BadSample("an empty list")
    return value if text or not _numeric(value) else [value]


def _numeric(value: Any) -> bool:
    while isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, Number)


def check_value(value: Any, *, text: bool) -> Any:
    """The value, if a processor can be asked to load it; `text`: the modality's strings are values, not paths.

    Raises BadSample for null, NaN, empty strings and bytes, and plain numbers (`open(7)` would open a file descriptor).
    """
    if value is None:
        raise BadSample("null")
    if isinstance(value, Number):
        if value != value:
            raise BadSample("NaN")
        wanted = "a string" if text else "a path, bytes or an array"
        raise BadSample(f"{type(value).__name__} {value} where {wanted} belongs")
    if isinstance(value, str) and not value.strip():
        raise BadSample("an empty string")
    data = value.data if isinstance(value, Blob) else value
    if isinstance(data, (bytes, bytearray)) and not data:
        raise BadSample(f"{value.name}: no bytes" if isinstance(value, Blob) else "no bytes")
    if text and not isinstance(value, (str, bytes, bytearray, Blob)):
        raise BadSample(f"{_named(value)} where a string belongs")
    return value


def check_field(value: Any) -> Any:
    """A label or teacher vector: a string, or an array of finite numbers (numbers without a type are float32, int64).

    Raises BadSample.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, (Number, list, np.ndarray, np.bool_)):
        array = np.asarray(value)
        if array.dtype.kind not in "biuf" or array.size == 0:
            raise BadSample(f"{_named(value)} where a number, a string or a vector of numbers belongs")
        if not np.isfinite(array).all():
            raise BadSample("holds numbers that are not finite")
        if isinstance(value, (list, float)) and array.dtype.kind == "f":
            return array.astype(np.float32)
        return array.astype(np.int64) if array.dtype.kind in "iu" else array
    raise BadSample(f"{_named(value)} where a number, a string or a vector of numbers belongs")


def _named(value: Any) -> str:
    return f"a {type(value).__name__}"


def bad_sample(error: Exception) -> BadSample:
    """The reason in one line: type, message and the line that raised, for errors a processor did not foresee."""
    if isinstance(error, BadSample):
        return error
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    message = " ".join(str(error).split())
    return BadSample(f"{type(error).__name__}: {message[:300]}{where}")
