"""Draw scenes by row number: every combination of factor values has a number, and belongs to `train` or to `val`."""

from __future__ import annotations

import hashlib
import zlib

import numpy as np

from anyclip.errors import DataError, did_you_mean
from anyclip.readers.scenes import COUPLED, FACTORS, Scene

HELD_OUT = 0.15
"""Share of the combinations that are `val`."""

ENUMERATE = 2**20
"""Up to so many combinations, a split's are listed, and come without repetition; above, they are drawn."""


def generator(*key: object) -> np.random.Generator:
    """Random numbers that are a function of `key` alone (Philox, keyed by a digest of it)."""
    digest = hashlib.blake2b(":".join(map(str, key)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


class SceneDraw:
    """Scenes by row number. The same (factors, seed, split, row) is the same scene everywhere.

    Args:
        factors: names in `FACTORS`; the order does not matter.
        seed: order in which the combinations come.
        split: `train`, `val` (combinations `train` never has, whatever the seed) or `all`.
        couple: derive what is heard from what is seen, see `COUPLED`.

    Raises DataError for an unknown factor, or a split without combinations.
    """

    def __init__(self, factors: list[str], *, seed: int, split: str, couple: bool = True):
        for name in factors:
            if name not in FACTORS:
                hint = did_you_mean(name, FACTORS, noun="Factors")
                raise DataError(f"unknown factor {name!r}.", where="synthetic", hint=hint)
        if not factors:
            raise DataError("no factors: every scene would be the same.", where="synthetic")
        self.factors = [name for name in FACTORS if name in factors]  # canonical order numbers the combinations
        self.coupled = {a: b for a, b in COUPLED.items() if couple and a in factors and b in factors}
        self.free = [name for name in self.factors if name not in self.coupled]
        self.sizes = [len(FACTORS[name]) for name in self.free]
        self.count = int(np.prod(self.sizes, dtype=object))
        self.seed, self.split = seed, split
        self._salt = np.uint64(zlib.crc32(",".join(self.free).encode()))
        self._listed = self._list() if self.count <= ENUMERATE else None

    def _list(self) -> np.ndarray:
        numbers = np.arange(self.count, dtype=np.uint64)
        numbers = numbers[self._in_split(numbers)]
        if not len(numbers):
            raise DataError(
                f"the factors {', '.join(self.free)} have {self.count} combinations, and none of them is in the split "
                f"{self.split!r}.",
                where="synthetic",
                hint="Add factors.",
            )
        return generator("order", self.seed, self.split).permutation(numbers)

    def _in_split(self, numbers: np.ndarray) -> np.ndarray:
        if self.split == "all":
            return np.ones(len(numbers), dtype=bool)
        held_out = mix(numbers + (self._salt << np.uint64(32))) < np.uint64(int(HELD_OUT * 2**64))
        return held_out if self.split == "val" else ~held_out

    @property
    def distinct(self) -> int | None:
        """How many scenes the split has; None when there are too many to count."""
        return None if self._listed is None else len(self._listed)

    def scene(self, row: int) -> Scene:
        """The scene of a row."""
        if self._listed is not None:
            return self.combination(int(self._listed[row % len(self._listed)]))
        rng = generator("scene", self.seed, self.split, row)
        while True:  # the chance of 32 misses in a row is 0.85**32 = 0.006 for `val`: a few rounds at most
            numbers = rng.integers(0, self.count, size=32, dtype=np.uint64)
            found = numbers[self._in_split(numbers)]
            if len(found):
                return self.combination(int(found[0]))

    def combination(self, number: int) -> Scene:
        """The scene of a combination's number (mixed radix, the last factor fastest)."""
        rest, chosen = number, {}
        for name, size in zip(reversed(self.free), reversed(self.sizes)):
            rest, digit = divmod(rest, size)
            chosen[name] = FACTORS[name][digit]
        for heard, seen in self.coupled.items():
            chosen[heard] = FACTORS[heard][FACTORS[seen].index(chosen[seen])]
        return Scene({name: chosen[name] for name in self.factors}, number)


def mix(numbers: np.ndarray) -> np.ndarray:
    """A well-mixed 64-bit hash of 64-bit numbers (splitmix64; Steele, Lea, Flood 2014)."""
    z = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
