"""Read pickles of weights without running what they ask for.

A pickle is a program that may call any importable function. This unpickler imports nothing: every global that a file
names is looked up in a table of inert stand-ins, and a file that names another one is refused.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from anyclip.errors import CheckpointError

STORAGE_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}
_DTYPES = {str(value).removeprefix("torch."): value for value in vars(torch).values() if isinstance(value, torch.dtype)}
_ARRAY_KINDS = "biufcSU"  # what an array may hold; never objects


class Record(dict):
    """Stands in for an object of any class: its attributes as a dict, none of its behaviour."""

    def __setstate__(self, state: Any) -> None:
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            if isinstance(part, dict):
                self.update(part)


class _Scripted(Record):
    """A module of a TorchScript archive: attributes only."""


class _Dtype:
    """Stands in for numpy.dtype: kind, size and byte order."""

    def __init__(self, name: Any = "f8", *_: Any):
        self.name, self.order = str(name), "="

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "|", "="):
            self.order = state[1]

    def numpy(self) -> np.dtype:
        found = np.dtype(self.name)
        if found.kind not in _ARRAY_KINDS or found.hasobject or found.fields is not None:
            raise pickle.UnpicklingError(f"an array of {self.name}, which weights do not need")
        return found.newbyteorder(">" if self.order == ">" else "<")


class _Array:
    """Stands in for numpy.ndarray while its state is read."""

    def __init__(self, *_: Any):
        self.value = np.zeros(0)

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(data, bytes) or not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError("an array of Python objects, which weights do not need")
        flat = np.frombuffer(data, dtype=dtype.numpy())
        self.value = flat.reshape(shape, order="F" if fortran else "C").copy()


def _scalar(dtype: Any, data: Any = b"") -> Any:
    if not isinstance(data, bytes) or not isinstance(dtype, _Dtype):
        raise pickle.UnpicklingError("a numpy scalar that is a Python object, which weights do not need")
    return np.frombuffer(data, dtype=dtype.numpy())[0]


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    """A view of a storage, refused when it reaches outside it or is larger than it (a stride of 0 costs no bytes)."""
    if not isinstance(storage, Tensor) or storage.ndim != 1:
        raise pickle.UnpicklingError("a tensor without a storage")
    size, stride = tuple(map(int, size)), tuple(map(int, stride))
    if len(size) != len(stride) or min((*size, *stride, int(offset)), default=0) < 0:
        raise pickle.UnpicklingError(f"a tensor of impossible shape {size}")
    count = 1
    for n in size:
        count *= n
    last = int(offset) + sum((n - 1) * step for n, step in zip(size, stride)) if count else 0
    if count > max(storage.numel(), 1) or (count and last >= storage.numel()):
        raise pickle.UnpicklingError(f"a tensor of shape {size} in a storage of {storage.numel()} values")
    return torch.as_strided(storage, size, stride, int(offset))


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    return data


def _latin1(text: Any, *_: Any) -> bytes:
    if not isinstance(text, str):
        raise pickle.UnpicklingError("bytes that are not text")
    return text.encode("latin1")


def _mapping(*args: Any) -> dict:
    return Record()


def _ordered(*args: Any) -> OrderedDict:
    pairs = args[0].items() if args and isinstance(args[0], dict) else args[0] if args else ()
    return _put(OrderedDict(), [part for key, value in pairs for part in (key, value)])


def _listed(*args: Any) -> list:
    return list(args[0]) if args and isinstance(args[0], (list, tuple)) else []


def _text(*args: Any) -> str:
    return "/".join(str(a) for a in args if isinstance(a, (str, int)))


def _bytearray(*args: Any) -> bytes:
    return args[0] if args and isinstance(args[0], bytes) else b""


def _table() -> dict[tuple[str, str], Any]:
    table: dict[tuple[str, str], Any] = {
        ("collections", "OrderedDict"): _ordered,
        ("collections", "defaultdict"): _mapping,
        ("_codecs", "encode"): _latin1,
        ("argparse", "Namespace"): Record,
        ("types", "SimpleNamespace"): Record,
        ("torch", "Size"): _listed,
        ("torch", "device"): _text,
        ("torch.nn.parameter", "Parameter"): _rebuild_parameter,
        ("torch.serialization", "_get_layout"): _text,
        ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
        ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
        ("torch.storage", "UntypedStorage"): torch.uint8,
        ("numpy", "dtype"): _Dtype,
        ("numpy", "ndarray"): _Array,
        ("pathlib", "PosixPath"): _text,
        ("pathlib", "PurePosixPath"): _text,
        ("pathlib", "WindowsPath"): _text,
        ("pathlib", "Path"): _text,
        ("pytorch_lightning.utilities.parsing", "AttributeDict"): Record,
        ("lightning_fabric.utilities.data", "AttributeDict"): Record,
    }
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        table |= {(module, "scalar"): _scalar, (module, "_reconstruct"): _Array}
    for module in ("builtins", "__builtin__"):
        for name in ("set", "frozenset", "list", "tuple"):
            table[module, name] = _listed
        for name in ("int", "float", "bool", "str", "complex", "object"):
            table[module, name] = _text
        table |= {(module, "dict"): _mapping, (module, "bytearray"): _bytearray, (module, "slice"): _listed}
    for name in ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist", "restore_type_tag"):
        table["torch.jit._pickle", name] = lambda values=(), *_: values
    table |= {("torch", name): dtype for name, dtype in STORAGE_DTYPES.items()}
    return table | {("torch", name): dtype for name, dtype in _DTYPES.items()}


ALLOWED: dict[tuple[str, str], Any] = _table()
"""(module, name) of a pickle's global -> what is used in its place."""


class WeightsUnpickler(pickle._Unpickler):  # type: ignore[name-defined]
    """Unpickles weights from bytes. Written on the Python implementation, whose memo is a dict: the C one allocates as
    much memory as a file asks for.

    storage: called with (dtype, key, location, count) of each storage, gives a flat tensor. where: the file, for
    errors.
    Raises CheckpointError naming the forbidden global.
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]

    def __init__(self, file: io.BufferedIOBase | io.BytesIO, *, storage: Callable[..., Tensor], where: str):
        super().__init__(file, encoding="utf-8", errors="replace")
        self._storage, self._where = storage, where

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in ALLOWED:
            return ALLOWED[module, name]
        if module.split(".")[0] == "__torch__":
            return _Scripted
        module = {"__builtin__": "builtins"}.get(module, module)  # its name in Python 2, which old protocols write
        raise CheckpointError(
            f"the pickle asks for {module}.{name}, which is not needed to read weights and could run code. "
            "Nothing of it was run.",
            where=self._where,
            hint="If you trust the file, convert it to safetensors with the program that wrote it.",
        )

    def get_extension(self, code: int) -> None:
        raise pickle.UnpicklingError(f"extension code {code}")

    def persistent_load(self, pid: Any) -> Tensor:
        if not (isinstance(pid, tuple) and len(pid) >= 5 and pid[0] in ("storage", b"storage")):
            raise pickle.UnpicklingError("a reference that is no storage")
        _, dtype, key, location, count = pid[:5]
        if not isinstance(dtype, torch.dtype) or not isinstance(count, int) or count < 0:
            raise pickle.UnpicklingError("a storage of unknown type")
        return self._storage(dtype, str(key), str(location), count, *pid[5:])

    def load_build(self) -> None:
        """State goes only into stand-ins; a function or a plain container keeps what it has."""
        state = self.stack.pop()  # type: ignore[attr-defined]
        target = self.stack[-1]  # type: ignore[attr-defined]
        if isinstance(target, (Record, _Dtype, _Array)):
            target.__setstate__(state)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()  # type: ignore[attr-defined]
        _put(self.stack[-1], [key, value])  # type: ignore[attr-defined]

    def load_setitems(self) -> None:
        items = self.pop_mark()  # type: ignore[attr-defined]
        _put(self.stack[-1], items)  # type: ignore[attr-defined]

    def load_dict(self) -> None:
        self.append(_put({}, self.pop_mark()))  # type: ignore[attr-defined]

    def load_items(self) -> None:
        self.append(list(self.pop_mark()))  # type: ignore[attr-defined]

    def load_additems(self) -> None:
        items = self.pop_mark()  # type: ignore[attr-defined]
        self.stack[-1].extend(items)  # type: ignore[attr-defined]

    def load_empty_list(self) -> None:
        self.append([])  # type: ignore[attr-defined]

    def load_refused(self) -> None:
        raise pickle.UnpicklingError("a byte array, which weights do not need")

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.DICT[0]] = load_dict
    dispatch[pickle.EMPTY_SET[0]] = load_empty_list  # sets become lists: nothing of unknown depth is hashed
    dispatch[pickle.ADDITEMS[0]] = load_additems
    dispatch[pickle.FROZENSET[0]] = load_items
    dispatch[pickle.BYTEARRAY8[0]] = load_refused  # allocates what the file asks for before reading


def _put(target: Any, items: list) -> Any:
    """Key, value, key, value ... into a dict. Only plain keys: hashing a deeply nested one overflows the C stack."""
    if not isinstance(target, dict):
        raise pickle.UnpicklingError("items for something that is no dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
        parts = key if isinstance(key, tuple) else (key,)
        if not all(isinstance(part, (str, bytes, int, float, type(None), torch.dtype)) for part in parts):
            raise pickle.UnpicklingError(f"a dict with a key of type {type(key).__name__}")
        target[key] = value
    return target


def plain_value(value: Any) -> Any:
    """Arrays out of their stand-ins."""
    return value.value if isinstance(value, _Array) else value
