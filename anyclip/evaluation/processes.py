"""The processes that evaluate together: rows are split over them, and what they found is gathered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from anyclip.similarities import Prepared


@dataclass(frozen=True)
class Processes:
    """`world` processes, of which this is number `rank`; tensors travel over `device`."""

    rank: int = 0
    world: int = 1
    device: torch.device | str = "cpu"

    @staticmethod
    def of(fabric: Any | None) -> Processes:
        """Those of a Fabric; a process of its own when there is none."""
        if fabric is None or fabric.world_size == 1:
            return Processes()
        return Processes(fabric.global_rank, fabric.world_size, fabric.device)

    @property
    def shard(self) -> tuple[int, int]:
        return self.rank, self.world

    def share(self, n: int) -> range:
        """This process's consecutive part of n things."""
        return range(n * self.rank // self.world, n * (self.rank + 1) // self.world)

    def calls(self, n: int, batch_size: int) -> int | None:
        """Tower calls that every process makes so that all make the same number; None for one process."""
        if self.world == 1:
            return None
        largest = max(n * (r + 1) // self.world - n * r // self.world for r in range(self.world))
        return -(-largest // batch_size)

    def objects(self, mine: Sequence[Any]) -> list[Any]:
        """Every process's list, one after the other."""
        if self.world == 1:
            return list(mine)
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, list(mine))
        return [item for part in found for item in part]

    def sum(self, x: Tensor) -> Tensor:
        return self._reduce(x, dist.ReduceOp.SUM)

    def max(self, x: Tensor) -> Tensor:
        return self._reduce(x, dist.ReduceOp.MAX)

    def _reduce(self, x: Tensor, operation: Any) -> Tensor:
        if self.world == 1:
            return x
        moved = x.to(self.device)
        dist.all_reduce(moved, operation)
        return moved.to(x.device)

    def prepared(self, mine: Prepared) -> Prepared:
        """Every process's rows, one after the other; token axes are padded with zeros. Some may have none."""
        if self.world == 1:
            return mine
        shapes = self.objects([{name: (tuple(x.shape), x.dtype) for name, x in mine.items()}])
        names = next((list(found) for found in shapes if found), [])
        return {name: self._rows(mine.get(name), [found.get(name) for found in shapes]) for name in names}

    def _rows(self, mine: Tensor | None, shapes: list[tuple[tuple[int, ...], torch.dtype] | None]) -> Tensor:
        """Gather tensors of unequal first (and second) axes: padded to the largest, cut again."""
        known = [found for found in shapes if found]
        shape = [max(sizes) for sizes in zip(*(s for s, _ in known))]
        padded = torch.zeros(shape, dtype=known[0][1], device=self.device)
        if mine is not None:
            padded[tuple(slice(n) for n in mine.shape)] = mine.to(self.device)
        found = [torch.empty_like(padded) for _ in range(self.world)]
        dist.all_gather(found, padded)
        return torch.cat([x[: s[0][0] if s else 0].cpu() for x, s in zip(found, shapes)])
