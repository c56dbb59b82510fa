"""The kit over all configurations of `cases_views.py`."""

from __future__ import annotations

from typing import ClassVar

import pytest

from anyclip.testing import TowerContract

from .cases_views import CASES
from .conftest import cloud

pytest.importorskip("anyclip_image")


class TestViewTowers(TowerContract):
    cases: ClassVar = CASES

    def values(self, n):
        return [cloud(300, seed=i) * [[1.0, 1.0 + i / 3, 1.0]] for i in range(n)]
