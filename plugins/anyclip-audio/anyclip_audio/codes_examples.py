"""Sequences of codes to try a tower with. Imports nothing heavy."""

from __future__ import annotations


def sequences(n: int) -> list[list[int]]:
    """n sequences of different lengths, codes below 64."""
    return [[(7 * i + 3 * j * j) % 64 for j in range(5 + 4 * i)] for i in range(n)]
