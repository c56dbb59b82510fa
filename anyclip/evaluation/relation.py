"""Which items of one side are right answers for which items of the other, kept small for any kind of grouping."""

from __future__ import annotations

import torch
from torch import Tensor


class Relation:
    """Positives between `sizes[0]` items of side a and `sizes[1]` items of side b.

    Items are positives of each other when they share a hub: a row of the data (an item may come from several rows, a
    row may hold several items), or a value of the group column. Hubs keep the memory linear in the rows, where a list
    of positive pairs would be quadratic for large groups.

    Args:
        a, b: (items, hubs), two int64 vectors of equal length: item `items[k]` belongs to hub `hubs[k]`.
        sizes: number of items of each side.
    """

    def __init__(self, a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], sizes: tuple[int, int]):
        hubs = 1 + max((int(h.max()) for _, h in (a, b) if h.numel()), default=-1)
        self.sizes = sizes
        self._a_hubs, self._hub_bs = _csr(a[0], a[1], sizes[0]), _csr(b[1], b[0], hubs)
        self._b_hubs, self._hub_as = _csr(b[0], b[1], sizes[1]), _csr(a[1], a[0], hubs)

    @classmethod
    def diagonal(cls, n: int) -> Relation:
        """Item i of a belongs to item i of b, and to no other."""
        each = torch.arange(n)
        return cls((each, each), (each, each), (n, n))

    def edges(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Positive pairs (i, j) with start <= i < stop, each once, sorted by j then i; int64."""
        i, hub = _expand(self._a_hubs, torch.arange(start, stop))
        k, j = _expand(self._hub_bs, hub)
        pairs = torch.unique(j * self.sizes[0] + i[k] + start)
        return pairs % self.sizes[0], pairs // self.sizes[0]

    def of_b(self, j: int) -> Tensor:
        """The items of a that are positives of item j of b, sorted."""
        _, hub = _expand(self._b_hubs, torch.tensor([j]))
        return torch.unique(_expand(self._hub_as, hub)[1])

    def counts(self, block: int = 1024) -> tuple[Tensor, Tensor]:
        """Number of positives of every item of a and of b."""
        of_a, of_b = torch.zeros(self.sizes[0], dtype=torch.long), torch.zeros(self.sizes[1], dtype=torch.long)
        for start in range(0, self.sizes[0], block):
            i, j = self.edges(start, min(start + block, self.sizes[0]))
            of_a += torch.bincount(i, minlength=self.sizes[0])
            of_b += torch.bincount(j, minlength=self.sizes[1])
        return of_a, of_b


def _csr(keys: Tensor, values: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Values grouped by key: `values[starts[k]:starts[k + 1]]` are those of key k."""
    order = torch.argsort(keys, stable=True)
    starts = torch.zeros(size + 1, dtype=torch.long)
    starts[1:] = torch.bincount(keys, minlength=size).cumsum(0)
    return starts, values[order]


def _expand(csr: tuple[Tensor, Tensor], keys: Tensor) -> tuple[Tensor, Tensor]:
    """For each key in turn all its values: (position of the key for the hubs of `keys`, value)."""
    starts, values = csr
    lengths = starts[keys + 1] - starts[keys]
    position = torch.repeat_interleave(torch.arange(len(keys)), lengths)
    first = torch.repeat_interleave(starts[keys] - (lengths.cumsum(0) - lengths), lengths)
    return position, values[first + torch.arange(int(lengths.sum()))]
