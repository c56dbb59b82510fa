"""Dictionaries of arrays and captions in .npy files, as OpenShape publishes them, read without running a pickle."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from anyclip.checkpoint.unpickle import WeightsUnpickler, _Array, plain_value
from anyclip.errors import BadSample


class _Cell(_Array):
    """Also stands in for an array of Python objects: its items, none of which can be more than a stand-in."""

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) == 5 and isinstance(state[4], list):
            self.value = state[4]  # type: ignore[assignment]
        else:
            super().__setstate__(state)


class ObjectUnpickler(WeightsUnpickler):
    """The core's inert unpickler, which imports nothing, plus arrays that hold dictionaries."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "ndarray") or name == "_reconstruct":
            super().find_class(module, name)  # refuses other modules' functions of that name
            return _Cell
        return super().find_class(module, name)


def read_objects(data: bytes, name: str) -> dict[str, Any]:
    """The dictionary of a `np.save(file, {...})`; arrays, strings, numbers, lists of them. Raises BadSample."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        _, _, dtype = read(stream)
        if not dtype.hasobject:
            raise BadSample(f"{name}: holds an array, no dictionary")
        items = plain_value(ObjectUnpickler(stream, storage=_no_storage, where=name).load())
        if not isinstance(items, list) or len(items) != 1 or not isinstance(items[0], dict):
            raise BadSample(f"{name}: holds no single dictionary")
        return {str(key): _plain(value) for key, value in items[0].items()}
    except BadSample:
        raise
    # an inert unpickler still meets every kind of error in damaged bytes
    except Exception as error:
        raise BadSample(f"{name}: not a dictionary of arrays: {str(error)[:200]}") from error


def _plain(value: Any) -> Any:
    value = plain_value(value)
    return [_plain(part) for part in value] if isinstance(value, list) else value


def _no_storage(*_: Any) -> Any:
    raise pickle.UnpicklingError("a tensor, which clouds do not need")
