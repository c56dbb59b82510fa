"""The kit over all configurations of `cases.py`."""

from __future__ import annotations

from typing import ClassVar

from anyclip.registry import get_registry
from anyclip.testing import TowerContract

from .cases import CASES
from .conftest import clip, encoded
from .speech_cases import CODES_CASES, SPEECH_CASES


class TestTowers(TowerContract):
    cases: ClassVar = CASES

    def values(self, n):
        lengths = [1.0, 0.3, 2.5, 1.7]
        return [
            encoded(clip(lengths[i % 4], 22_050, i), 22_050) if i % 2 else (clip(lengths[i % 4], 16_000, i), 16_000)
            for i in range(n)
        ]


def test_every_registered_tower_has_a_case():
    ours = {part.spec.name for part in get_registry().parts("tower") if part.distribution == "anyclip-audio"}
    assert ours == {case[0] for cases in (CASES, SPEECH_CASES, CODES_CASES) for case in cases.values()}
