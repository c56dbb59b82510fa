"""Batches of items that lie near each other: the retrieval-augmented training of VideoCLIP (arXiv:2109.14084)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from anyclip.config.sampler_options import ClustersOptions
from anyclip.data.data_sampler import DataSampler
from anyclip.data.rng import keyed_generator
from anyclip.errors import UserError


class Clusters(DataSampler):
    """A batch is an item that the pass has in turn, and others drawn from those nearest to it.

    The first passes are random. During training the embeddings of a batch, averaged over an item's rows and over
    streams, are kept; each later pass compares items by the ones of the pass before. Items may come again in a pass, or
    not at all: as hard negatives, not as a partition. No tower runs a second time for this.

    Sums are kept per item (`groups` x E), and what the last `lag` steps brought; the similarities of one item at a time
    are computed when its batch is asked for.
    """

    options: ClustersOptions

    def __init__(self, options: ClustersOptions, **about: Any):
        super().__init__(options, **about)
        self.observes = tuple(options.streams or self.streams)
        self._check()
        self.items = self.sizes[0] // options.group
        self.per_batch = self.batch_size // options.take
        # pass -> embeddings of items that it compares (zero: not known), or None: nothing was known when it was asked
        self._epochs: dict[int, torch.Tensor | None] = {}
        self._known: torch.Tensor | None = None  # the newest embedding of each item
        self._seen: dict[int, tuple[np.ndarray, torch.Tensor]] = {}  # step -> (items, their sums with a count behind)
        self._observed = -1

    def _check(self) -> None:
        o, where = self.options, "data.sampler"
        if len(self.sizes) != 1:
            raise UserError(f"clusters takes one dataset, not {len(self.sizes)}.", where=where)
        if self.batch_size % o.take:
            raise UserError(f"data.batch_size ({self.batch_size}) is not a multiple of take ({o.take}).", where=where)
        if self.sizes[0] % o.group:
            message = f"{self.names[0]} has {self.sizes[0]} rows, which is not a multiple of group ({o.group})."
            raise UserError(message, where=where, hint="Every item has `group` consecutive rows.")
        items, needed = self.sizes[0] // o.group, self.batch_size // o.take
        if items < needed:
            message = f"{self.names[0]} has {items} items, but a batch holds {needed}."
            raise UserError(message, where=where, hint=f"Set data.batch_size to {items * o.take} or less.")
        if o.lag < self.ahead:
            message = f"lag ({o.lag}) must be at least {self.ahead}: the loader is so many steps ahead."
            raise UserError(message, where=where, hint="Raise it, or lower data.workers or data.prefetch.")

    @property
    def steps_per_epoch(self) -> float:
        return float(self.items // self.per_batch)

    def batch(self, step: int) -> np.ndarray:
        epoch, i = divmod(step, int(self.steps_per_epoch))
        order = keyed_generator("clusters", self.seed, epoch).permutation(self.items)
        known = self._compared(epoch)
        chosen = order[i * self.per_batch : (i + 1) * self.per_batch]
        if known is not None and bool(known[order[i]].any()):
            chosen = self._near(int(order[i]), known, step)
        out = np.empty((self.batch_size, 3), dtype=np.int64)
        out[:, 0], out[:, 1] = epoch, 0
        out[:, 2] = np.concatenate([self._rows(int(item), epoch) for item in chosen])
        return out

    def _near(self, item: int, known: torch.Tensor, step: int) -> np.ndarray:
        """The item, and others drawn from the pool of those nearest to it whose embedding is known."""
        there = known.any(dim=1)
        scores = (known @ known[item]).masked_fill_(~there, -math.inf)
        scores[item] = -math.inf
        wanted = self.per_batch - 1
        pool = min(math.ceil(self.options.pool * self.per_batch), self.items) - 1
        nearest = torch.topk(scores, max(pool, wanted)).indices
        # in the order of their numbers: what differs in its last bits on another number of processes ranks otherwise
        nearest = np.sort(nearest[torch.isfinite(scores[nearest])].numpy())
        rng = keyed_generator("cluster", self.seed, step)
        others = rng.permutation(nearest)[:wanted]
        if len(others) < wanted:  # too few are known
            rest = np.setdiff1d(np.arange(self.items), np.append(others, item))
            others = np.append(others, rng.permutation(rest)[: wanted - len(others)])
        return np.append(item, others)

    def _rows(self, item: int, epoch: int) -> np.ndarray:
        """`take` rows of an item: another part of a permutation of its rows in each pass."""
        o = self.options
        turn, part = divmod(epoch, o.group // o.take)
        order = keyed_generator("rows", self.seed, item, turn).permutation(o.group)
        return item * o.group + np.sort(order[part * o.take : (part + 1) * o.take])

    def _compared(self, epoch: int) -> torch.Tensor | None:
        """The embeddings that a pass compares: of what was seen up to `lag` steps before it began."""
        if epoch < self.options.random_passes:
            return None
        if epoch not in self._epochs:
            self._absorb(epoch * int(self.steps_per_epoch) - self.options.lag)
            self._epochs[epoch] = None if self._known is None else self._known.clone()
            trained = (self._observed + 1) // int(self.steps_per_epoch)  # passes before it are over
            for old in [e for e in self._epochs if e < trained]:
                del self._epochs[old]
        return self._epochs[epoch]

    def _absorb(self, stop: int) -> None:
        """Average what was seen in the steps before `stop`, in the order of the steps."""
        if self._observed < stop - 1:
            raise RuntimeError(f"step {stop - 1} is not trained yet")
        sums: torch.Tensor | None = None
        for step in sorted(s for s in self._seen if s < stop):
            items, found = self._seen.pop(step)
            sums = found.new_zeros(self.items, found.shape[1]) if sums is None else sums
            sums.index_add_(0, torch.from_numpy(items), found)
        if sums is None:
            return
        count = sums[:, -1:]
        mean = torch.nn.functional.normalize(sums[:, :-1] / count.clamp(min=1), dim=1)
        self._known = mean if self._known is None else torch.where(count > 0, mean, self._known)

    def observe(self, step: int, embeddings: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        rows = self.batch(step)[:, 2] // self.options.group
        items, place = np.unique(rows, return_inverse=True)
        width = next((vectors.shape[1] for _, vectors in embeddings.values()), 0)
        sums = torch.zeros(len(items), width + 1)
        for places, vectors in embeddings.values():
            good = np.isfinite(vectors).all(axis=1)
            values = torch.from_numpy(vectors[good]).float()
            values = torch.cat([values, torch.ones(len(values), 1)], dim=1)
            sums.index_add_(0, torch.from_numpy(place[places[good]]), values)
        self._observed = step
        if width:
            self._seen[step] = (items, sums)

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"observed": self._observed}
        state |= {f"epoch.{epoch}": known for epoch, known in self._epochs.items()}  # None stays
        for step, (items, sums) in self._seen.items():
            state |= {f"items.{step}": torch.from_numpy(items), f"sums.{step}": sums}
        return state if self._known is None else {**state, "known": self._known}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._observed, self._known = int(state["observed"]), state.get("known")
        self._epochs, self._seen = {}, {}
        for name, value in state.items():
            kind, _, number = name.partition(".")
            if kind == "epoch":
                self._epochs[int(number)] = value
            elif kind == "items":
                self._seen[int(number)] = (value.numpy(), state[f"sums.{number}"])
