"""A batch as one block of shared memory on its way from a worker to the trainer.

Sent as they are, tensors cost a file descriptor (and a shared-memory object) each, and a few prefetched batches of
many small tensors exhaust the process's limit. Packed, a batch costs one, and pinning is one copy.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_ALIGN = 64
_INLINE = 64 * 1024  # smaller blocks travel in the message itself


@dataclass
class Packed:
    """A pickled object whose tensors and arrays lie in `block` (uint8)."""

    skeleton: bytes
    tensors: list[tuple[int, torch.dtype, tuple[int, ...]]]  # offset in the block, dtype, shape
    buffers: list[tuple[int, int]]  # offset and bytes of out-of-band buffers (numpy arrays)
    block: Tensor | bytes

    def pin_memory(self, device: Any = None) -> Packed:
        """The same in page-locked memory, for asynchronous copies to an accelerator."""
        return Packed(self.skeleton, self.tensors, self.buffers, _tensor_of(self.block).pin_memory())


def pack(value: Any) -> Packed:
    """Anything picklable -> Packed; tensors and arrays are copied once, into shared memory when they are large."""
    stream = io.BytesIO()
    pickler = _Pickler(stream)
    pickler.dump(value)
    views = [t.reshape(-1).view(torch.uint8).numpy().data for t in pickler.tensors]
    views += [buffer.raw() for buffer in pickler.buffers]
    offsets, end = [], 0
    for view in views:
        offsets.append(end)
        end += -(-view.nbytes // _ALIGN) * _ALIGN
    shared = torch.empty(end, dtype=torch.uint8).share_memory_() if end > _INLINE else None
    target = bytearray(end) if shared is None else shared.numpy().data
    for offset, view in zip(offsets, views):
        target[offset : offset + view.nbytes] = view
    count = len(pickler.tensors)
    return Packed(
        stream.getvalue(),
        [(offset, t.dtype, tuple(t.shape)) for offset, t in zip(offsets, pickler.tensors)],
        [(offset, view.nbytes) for offset, view in zip(offsets[count:], views[count:])],
        bytes(target) if shared is None else shared,
    )


def unpack(packed: Packed) -> Any:
    """The packed object. Tensors are views of the block, so that an allocator of page-locked memory sees their use."""
    block = _tensor_of(packed.block)
    memory = block.numpy().data
    buffers = [memory[offset : offset + size] for offset, size in packed.buffers]
    tensors = [_view(block, *place) for place in packed.tensors]
    return _Unpickler(io.BytesIO(packed.skeleton), tensors, buffers).load()


def _tensor_of(block: Tensor | bytes) -> Tensor:
    if isinstance(block, Tensor):
        return block
    return torch.frombuffer(bytearray(block), dtype=torch.uint8) if block else torch.empty(0, dtype=torch.uint8)


def _view(block: Tensor, offset: int, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    size = dtype.itemsize
    for axis in shape:
        size *= axis
    return block[offset : offset + size].view(dtype).reshape(shape)


class _Pickler(pickle.Pickler):
    """Takes plain CPU tensors out of the stream, and the data of numpy arrays as out-of-band buffers."""

    def __init__(self, stream: io.BytesIO):
        self.tensors: list[Tensor] = []
        self.buffers: list[pickle.PickleBuffer] = []
        self._numbers: dict[int, int] = {}
        self._kept: list[Tensor] = []  # an id is unique only while its object lives
        super().__init__(stream, protocol=5, buffer_callback=self.buffers.append)

    def persistent_id(self, obj: Any) -> int | None:
        if type(obj) is not Tensor or not _plain(obj):
            return None
        if id(obj) not in self._numbers:
            self._numbers[id(obj)] = len(self.tensors)
            self._kept.append(obj)
            self.tensors.append(obj.contiguous())
        return self._numbers[id(obj)]


def _plain(tensor: Tensor) -> bool:
    strided = tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    return strided and tensor.numel() > 0 and not (tensor.requires_grad or tensor.is_conj() or tensor.is_neg())


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, tensors: list[Tensor], buffers: list[memoryview]):
        super().__init__(stream, buffers=buffers)
        self._tensors = tensors

    def persistent_load(self, pid: int) -> Tensor:
        return self._tensors[pid]
