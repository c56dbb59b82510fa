"""The kit over all configurations of `cases_points.py`."""

from __future__ import annotations

from typing import ClassVar

from anyclip.testing import TowerContract

from .cases_points import CASES
from .conftest import cloud


class TestPointTowers(TowerContract):
    cases: ClassVar = CASES

    def values(self, n):
        return [cloud(40 + 30 * i, seed=i, columns=6 if i % 2 else 3) for i in range(n)]
