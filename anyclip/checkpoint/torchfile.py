"""The containers of PyTorch files: zip archives (also TorchScript), and the stream of pickles before version 1.6."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anyclip.checkpoint.unpickle import Record, WeightsUnpickler
from anyclip.errors import CheckpointError

LARGEST_RATIO = 8  # unpacked over packed; float weights shrink by less than 2
_ALWAYS_FINE = 64 * 2**20
_MOST_MODULES = 100_000  # shared parts can be named in exponentially many ways
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_DAMAGE = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError,
    UnicodeError, NotImplementedError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile, AssertionError,
    MemoryError, OSError,
)  # fmt: skip


def read_torch_file(path: Path) -> Any:
    """What `torch.save` or `torch.jit.save` wrote: usually a (nested) dict with tensors on the CPU.

    A TorchScript module becomes the flat dict of its tensors. Raises CheckpointError.
    """
    try:
        with path.open("rb") as file:
            if file.read(2) == b"PK":
                return _read_zip(path)
            file.seek(0)
            return _read_legacy(_Clamped(file, path.stat().st_size), path)
    except CheckpointError:
        raise
    except _DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise CheckpointError(f"damaged or cut short: {reason}.", where=str(path)) from error


def _read_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        _refuse_bomb(sum(sizes.values()), path)
        name = min((n for n in sizes if n.rsplit("/", 1)[-1] == "data.pkl"), key=len, default=None)
        if name is None:
            raise CheckpointError("a zip archive without data.pkl, so no PyTorch file.", where=str(path))
        root = name[: -len("data.pkl")]
        if sizes.get(f"{root}byteorder") and archive.read(f"{root}byteorder").strip() == b"big":
            raise CheckpointError("written on a big-endian machine, which is not supported.", where=str(path))
        storages: dict[str, Tensor] = {}

        def storage(dtype: torch.dtype, key: str, _location: str, count: int) -> Tensor:
            if key not in storages:
                data = bytearray(archive.read(f"{root}data/{key}"))
                storages[key] = torch.frombuffer(data, dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)
            return _typed(storages[key], dtype, count)

        content = WeightsUnpickler(io.BytesIO(archive.read(name)), storage=storage, where=str(path)).load()
        scripted = f"{root}constants.pkl" in sizes
    return _flat(content) if scripted and isinstance(content, Record) else content


def _refuse_bomb(unpacked: int, path: Path) -> None:
    packed = path.stat().st_size
    if unpacked > max(LARGEST_RATIO * packed, packed + _ALWAYS_FINE):
        raise CheckpointError(
            f"{unpacked / 2**30:.1f} GiB packed into {packed / 2**20:.1f} MiB: a decompression bomb, not weights.",
            where=str(path),
        )


def _typed(raw: Tensor, dtype: torch.dtype, count: int) -> Tensor:
    """The first `count` values of raw bytes; refused when there are fewer."""
    size = torch.empty(0, dtype=dtype).element_size()
    if count * size > raw.numel():
        raise pickle.UnpicklingError(f"a storage of {count} values has only {raw.numel()} bytes")
    return raw[: count * size].view(dtype)


def _flat(module: Mapping[str, Any], prefix: str = "") -> dict[str, Tensor]:
    """Tensors of a TorchScript module by their path; modules may share parts, never contain themselves."""
    flat: dict[str, Tensor] = {}
    visited = 0
    stack: list[tuple[str, Mapping[str, Any], tuple[int, ...]]] = [(prefix, module, ())]
    while stack:
        path, node, above = stack.pop()
        visited += 1
        if id(node) in above or visited > _MOST_MODULES:
            raise pickle.UnpicklingError("a module inside itself, or more modules than any model has")
        for name, value in node.items():
            if isinstance(value, Tensor):
                flat[f"{path}{name}"] = value
            elif isinstance(value, Mapping):
                stack.append((f"{path}{name}.", value, (*above, id(node))))
    return flat


def _read_legacy(file: Any, path: Path) -> Any:
    """The format of torch < 1.6: magic number, version, machine, the object, storage keys, raw storages."""
    pending: dict[str, tuple[torch.dtype, int]] = {}
    buffers: dict[str, Tensor] = {}
    total = path.stat().st_size

    def storage(dtype: torch.dtype, key: str, _location: str, count: int, view: Any = None) -> Tensor:
        size = torch.empty(0, dtype=dtype).element_size()
        if count * size > total:
            raise pickle.UnpicklingError(f"a storage of {count} values in a file of {total} bytes")
        if key not in buffers:
            if sum(b.numel() for b in buffers.values()) + count * size > total:
                raise pickle.UnpicklingError(f"storages larger than the file of {total} bytes")
            buffers[key], pending[key] = torch.zeros(count * size, dtype=torch.uint8), (dtype, count)
        whole = _typed(buffers[key], dtype, count)
        if view is None:
            return whole
        _, offset, length = view
        if not 0 <= int(offset) <= int(offset) + int(length) <= count:
            raise pickle.UnpicklingError("a view outside its storage")
        return whole[int(offset) : int(offset) + int(length)]

    def load() -> Any:
        return WeightsUnpickler(file, storage=storage, where=str(path)).load()

    first = load()
    if first != _LEGACY_MAGIC:
        raise CheckpointError(
            "a plain pickle, not written by torch.save." if not isinstance(first, Mapping) else
            "a plain pickle of a dict, not written by torch.save; its tensors have no storages.",
            where=str(path),
        )  # fmt: skip
    load(), load()
    content = load()
    for key in load():
        _fill(file, buffers[str(key)], pending[str(key)])
    return content


class _Clamped:
    """A file of which nobody asks for more bytes than it has: a plain read allocates first and looks afterwards."""

    def __init__(self, file: Any, size: int):
        self._file, self._size = file, size
        self.readline, self.readinto = file.readline, file.readinto

    def read(self, count: int) -> bytes:
        return self._file.read(min(count, self._size))


def _fill(file: Any, buffer: Tensor, declared: tuple[torch.dtype, int]) -> None:
    _, count = declared
    (written,) = struct.unpack("<q", file.read(8))
    if written != count:
        raise pickle.UnpicklingError(f"a storage of {written} values where {count} were declared")
    if buffer.numel():
        got = file.readinto(buffer.numpy())
        if got != buffer.numel():
            raise pickle.UnpicklingError(f"{got} of {buffer.numel()} bytes of a storage")
