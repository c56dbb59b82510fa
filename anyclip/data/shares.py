"""Which dataset a slot of the run belongs to: exact shares of the weights, a pure function of the slot's number."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction


class Shares:
    """Deal slots 0, 1, 2, ... to datasets by weight, evenly spread.

    Of the first t slots dataset 0 gets its share rounded to the nearest number, dataset 1 its share of what is left,
    and so on; every dataset's count stays within about one slot of its exact share, for any t, and is known without
    counting from 0. Exact rational arithmetic: no rounding can give a slot to two datasets or to none.
    """

    def __init__(self, weights: Sequence[float]):
        exact = [Fraction(weight) for weight in weights]
        if not exact or min(exact) <= 0:
            raise ValueError("weights must be positive")
        self._ratios = [(r.numerator, r.denominator) for r in (w / sum(exact[i:]) for i, w in enumerate(exact))]
        self.parts = [float(weight / sum(exact)) for weight in exact]

    def counts(self, slots: int) -> list[int]:
        """How many of the first `slots` slots each dataset has."""
        counts, left = [], slots
        for p, q in self._ratios:
            taken = (2 * left * p + q) // (2 * q)  # left * p / q, rounded half up
            counts.append(taken)
            left -= taken
        return counts

    def owner(self, slot: int) -> tuple[int, int]:
        """(dataset of a slot, how many earlier slots that dataset had)."""
        before, after = self.counts(slot), self.counts(slot + 1)
        dataset = next(d for d, (a, b) in enumerate(zip(before, after)) if b > a)
        return dataset, before[dataset]
