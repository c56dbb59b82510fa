"""What the maths needs from other processes: gathering rows with exact gradients, and which rows are where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_alone = 0  # depth of `single_process` blocks
_pretended: tuple[int, int] | None = None  # (rank, world) inside a `pretended` block
_cpu_groups: dict[Any, Any] = {}


def _active() -> bool:
    return not _alone and dist.is_available() and dist.is_initialized()


def communicates() -> bool:
    """Whether other processes take part and can be asked, which is not so in a `pretended` block."""
    return _pretended is None and world_size() > 1


def world_size() -> int:
    if _pretended is not None:
        return _pretended[1]
    return dist.get_world_size() if _active() else 1


def rank() -> int:
    if _pretended is not None:
        return _pretended[0]
    return dist.get_rank() if _active() else 0


@contextmanager
def single_process() -> Iterator[None]:
    """Inside the block this process computes as if it were the only one (a reference to compare with)."""
    global _alone
    _alone += 1
    try:
        yield
    finally:
        _alone -= 1


@contextmanager
def pretended(index: int, world: int) -> Iterator[None]:
    """Inside the block `rank` and `world_size` say this; nothing can be gathered (tests of a loss's shares)."""
    global _pretended
    before, _pretended = _pretended, (index, world)
    try:
        yield
    finally:
        _pretended = before


def block(size: int, index: int, world: int) -> tuple[int, int]:
    """The consecutive rows [start, stop) of `size` global rows that process `index` of `world` holds."""
    return size * index // world, size * (index + 1) // world


def gather(x: Tensor, counts: Sequence[int]) -> Tensor:
    """Rows of all processes in rank order, [counts[rank], ...] -> [sum(counts), ...].

    The backward adds up what every process contributes to a row's gradient. Every process must call it, with the same
    dtype and trailing axes, and use the result in the same way.
    """
    assert x.shape[0] == counts[rank()], (x.shape, counts, rank())
    if world_size() == 1:
        return x
    if x.dtype == torch.bool:
        return gather(x.to(torch.uint8), counts).bool()
    return _Gather.apply(x, tuple(counts))  # type: ignore[return-value]


class _Gather(torch.autograd.Function):
    """All-gather of unequal blocks, padded to the longest; the backward is the matching reduce-scatter."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, counts: tuple[int, ...]) -> Tensor:
        ctx.counts = counts
        padded = x.new_zeros(max(counts), *x.shape[1:])
        padded[: len(x)] = x
        out = x.new_empty(len(counts), *padded.shape)
        dist.all_gather(list(out.unbind()), padded)
        return torch.cat([rows[:n] for rows, n in zip(out, counts)])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        total = grad.contiguous().clone()
        dist.all_reduce(total)
        start = sum(ctx.counts[: rank()])
        return total[start : start + ctx.counts[rank()]].clone(), None


def gather_counts(n: int) -> list[int]:
    """`n` of every process, in rank order."""
    if world_size() == 1:
        return [n]
    every = [torch.zeros(1, dtype=torch.int64) for _ in range(world_size())]
    dist.all_gather(every, torch.tensor([n]), group=cpu_group())
    return [int(x) for x in every]


def gather_objects(value: Any) -> list[Any]:
    """A small picklable value of every process, in rank order."""
    if world_size() == 1:
        return [value]
    found: list[Any] = [None] * world_size()
    dist.all_gather_object(found, value, group=cpu_group())
    return found


def all_max(n: int) -> int:
    """The largest `n` of all processes."""
    if world_size() == 1:
        return n
    value = torch.tensor([n])
    dist.all_reduce(value, op=dist.ReduceOp.MAX, group=cpu_group())
    return int(value)


def all_sum(x: Tensor) -> Tensor:
    """Sum over processes, without gradient."""
    if world_size() == 1:
        return x
    x = x.detach().clone()
    dist.all_reduce(x)
    return x


def all_logsumexp(x: Tensor) -> Tensor:
    """Element by element, the logarithm of the sum of exponentials over processes; without gradient."""
    if world_size() == 1:
        return x
    top = x.detach().clone()
    dist.all_reduce(top, op=dist.ReduceOp.MAX)
    lowest = torch.finfo(x.dtype).min  # -inf on every process stays -inf
    return all_sum((x - top.clamp(min=lowest)).exp_()).log_() + top


def cpu_group() -> Any:
    """A process group for small CPU tensors, so that bookkeeping never waits for the accelerator.

    None (the default group) where that is gloo already. The first call creates it, on all processes together.
    """
    world = dist.group.WORLD
    if "gloo" in dist.get_backend():
        return None
    if world not in _cpu_groups:
        _cpu_groups.clear()
        _cpu_groups[world] = dist.new_group(backend="gloo")
    return _cpu_groups[world]


class Presence:
    """Which global rows have which streams, known to every process.

    size: global rows. rows(stream): sorted row numbers, on the CPU; rank blocks are consecutive.
    """

    def __init__(self, size: int, present: dict[str, Tensor]):
        self.size = size
        self._present = present  # stream -> bool [size]
        self._edges = [block(size, r, world_size()) for r in range(world_size())]
        self._masks: dict[tuple[str, ...], Tensor] = {}
        self._counts: dict[tuple[str, ...], list[int]] = {}

    @staticmethod
    def of(streams: Sequence[str], rows: dict[str, Tensor], size: int, local: tuple[int, int]) -> Presence:
        """One small gather of the rows per stream. Every process names the same streams in the same order."""
        world = world_size()
        start, stop = block(size, rank(), world)
        assert local == (start, stop), f"process {rank()} of {world} holds rows {local}, not {(start, stop)} of {size}"
        mine = torch.zeros(len(streams), -(-size // world), dtype=torch.uint8)
        for i, stream in enumerate(streams):
            if stream in rows:
                mine[i, rows[stream] - start] = 1
        every = [mine]
        if world > 1 and len(streams):
            every = [torch.empty_like(mine) for _ in range(world)]
            dist.all_gather(every, mine, group=cpu_group())
        widths = [stop - start for start, stop in (block(size, r, world) for r in range(world))]
        return Presence(
            size,
            {s: torch.cat([m[i, :w] for m, w in zip(every, widths)]).bool() for i, s in enumerate(streams)},
        )

    @property
    def streams(self) -> list[str]:
        return list(self._present)

    def mask(self, *streams: str) -> Tensor:
        """[size] bool: rows that have all of the streams."""
        if streams not in self._masks:
            self._masks[streams] = torch.stack([self._present[s] for s in streams]).all(dim=0)
        return self._masks[streams]

    def rows(self, *streams: str) -> Tensor:
        """Sorted global row numbers that have all of the streams."""
        return self.mask(*streams).nonzero()[:, 0]

    def count(self, *streams: str) -> int:
        return sum(self.counts(*streams))

    def counts(self, *streams: str) -> list[int]:
        """Rows that have all of the streams, per process."""
        if streams not in self._counts:
            mask = self.mask(*streams)
            self._counts[streams] = [int(mask[start:stop].sum()) for start, stop in self._edges]
        return self._counts[streams]

    def local(self, *streams: str) -> slice:
        """This process's part of `rows(*streams)`."""
        counts = self.counts(*streams)
        start = sum(counts[: rank()])
        return slice(start, start + counts[rank()])
