"""The order of samples: which rows of which dataset make the global batch of a step.

Everything is a pure function of (seed, step) and the sizes, so that a run can start at any step, with any number of
processes or loader workers, and see the same batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from anyclip.data.length_groups import grouped
from anyclip.data.rng import keyed_generator
from anyclip.data.shares import Shares
from anyclip.errors import UserError


@runtime_checkable
class Sampler(Protocol):
    """Anything that says what the global batch of a step holds.

    `batch(step)` must not depend on which steps were asked for before, except through state that `state_dict`
    holds (clusters that were refreshed); it is called in the training process, ahead of the step by the prefetch.
    """

    @property
    def steps_per_epoch(self) -> float:
        """Steps that `train.epochs: 1` means."""
        ...

    def batch(self, step: int) -> np.ndarray:
        """int64 [N, 3]: epoch, dataset, row; the same on every process."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class MixtureSampler:
    """Shuffled passes over several datasets, mixed by weight.

    mixing `batch`: a global batch comes from one dataset. The last rows of a pass that do not fill a batch are left out
    of that pass (`dropped` says how many); each pass is another permutation, so others are left out next time.
    mixing `sample`: every batch holds all datasets by weight. No row is left out: a batch may hold the end of one pass
    and the start of the next, so that a row may come twice in that one batch.

    Args:
        sizes: rows of each dataset. weights: their shares of batches (or samples); any positive numbers.
        batch_size: rows N of a global batch. names: names of the datasets, for messages.
        lengths: of the rows of each dataset [rows] or None; its batches then hold rows of similar length.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        weights: Sequence[float],
        batch_size: int,
        *,
        seed: int,
        mixing: Literal["batch", "sample"] = "batch",
        names: Sequence[str] | None = None,
        lengths: Sequence[np.ndarray | None] | None = None,
    ):
        self.lengths = list(lengths or [None] * len(sizes))
        self.sizes, self.batch_size, self.seed, self.mixing = list(sizes), batch_size, seed, mixing
        self.names = list(names or (f"data.train[{i}]" for i in range(len(self.sizes))))
        self.shares = Shares(weights)
        self._orders: dict[int, dict[int, np.ndarray]] = {d: {} for d in range(len(self.sizes))}
        self._check()

    def _check(self) -> None:
        if self.mixing == "sample" and any(found is not None for found in self.lengths):
            raise UserError("length goes with mixing: batch: with sample every batch holds all datasets.", where="data")
        for d, (name, size) in enumerate(zip(self.names, self.sizes)):
            if size == 0:
                raise UserError("the dataset has no rows.", where=name, hint="Check its path and row filter.")
            if self.mixing == "batch":
                need, why = self.batch_size, f"data.batch_size is {self.batch_size}"
                mend = f"Set data.batch_size to {size} or less, or give more rows."
            else:
                need = -int(-self.batch_size * self.shares.parts[d] // 1)
                why = f"its weight gives it {need} rows of each batch of {self.batch_size}"
                mend = "Lower its weight or data.batch_size, or give more rows."
            if size < need:
                raise UserError(f"the dataset has {size} rows, but {why}.", where=name, hint=mend)

    @property
    def dropped(self) -> list[int]:
        """Rows of each dataset that one pass leaves out."""
        return [size % self.batch_size if self.mixing == "batch" else 0 for size in self.sizes]

    @property
    def steps_per_epoch(self) -> float:
        """Steps with as many rows as one pass over every dataset; by weight some make more passes than others."""
        if self.mixing == "batch":
            return float(sum(size // self.batch_size for size in self.sizes))
        return sum(self.sizes) / self.batch_size

    def passes(self, step: int) -> list[float]:
        """How many passes over each dataset the steps before `step` made."""
        if self.mixing == "batch":
            return [n / (size // self.batch_size) for n, size in zip(self.shares.counts(step), self.sizes)]
        return [n / size for n, size in zip(self.shares.counts(step * self.batch_size), self.sizes)]

    def batch(self, step: int) -> np.ndarray:
        """int64 [N, 3]: epoch, dataset, row of each row of the global batch of a step."""
        return self._one_dataset(step) if self.mixing == "batch" else self._all_datasets(step)

    def _one_dataset(self, step: int) -> np.ndarray:
        dataset, earlier = self.shares.owner(step)
        epoch, i = divmod(earlier, self.sizes[dataset] // self.batch_size)
        rows = self._order(dataset, epoch)[i * self.batch_size : (i + 1) * self.batch_size]
        return _triples(epoch, dataset, rows)

    def _all_datasets(self, step: int) -> np.ndarray:
        starts = self.shares.counts(step * self.batch_size)
        stops = self.shares.counts((step + 1) * self.batch_size)
        pieces, keys = [], []
        for dataset, (start, stop) in enumerate(zip(starts, stops)):
            pieces += self._run(dataset, start, stop)
            keys.append((np.arange(stop - start) + 0.5) / max(stop - start, 1))
        # every process and every micro-batch gets its share of each dataset
        return np.concatenate(pieces)[np.argsort(np.concatenate(keys), kind="stable")]

    def _run(self, dataset: int, start: int, stop: int) -> list[np.ndarray]:
        """Rows start..stop of the endless sequence of passes over one dataset."""
        size, pieces = self.sizes[dataset], []
        while start < stop:
            epoch, i = divmod(start, size)
            rows = self._order(dataset, epoch)[i : i + stop - start]
            pieces.append(_triples(epoch, dataset, rows))
            start += len(rows)
        return pieces

    def _order(self, dataset: int, epoch: int) -> np.ndarray:
        """The permutation of one pass; the two newest of each dataset are kept."""
        kept = self._orders[dataset]
        if epoch not in kept:
            size = self.sizes[dataset]
            rows = np.arange(size, dtype=np.uint32 if size <= 2**32 else np.int64)
            generator = keyed_generator("order", self.seed, dataset, epoch)
            generator.shuffle(rows)
            lengths = self.lengths[dataset]
            if lengths is not None:
                rows = grouped(rows, lengths, self.batch_size, generator)
            while len(kept) > 1:
                del kept[next(iter(kept))]
            kept[epoch] = rows
        return kept[epoch]

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore: the order is a function of the step."""


def _triples(epoch: int, dataset: int, rows: np.ndarray) -> np.ndarray:
    out = np.empty((len(rows), 3), dtype=np.int64)
    out[:, 0], out[:, 1], out[:, 2] = epoch, dataset, rows
    return out
