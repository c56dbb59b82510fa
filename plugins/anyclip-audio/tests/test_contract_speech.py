"""The kit over all configurations of `speech_cases.py`."""

from __future__ import annotations

from typing import ClassVar

from anyclip_audio.codes_examples import sequences

from anyclip.testing import TowerContract

from .conftest import clip
from .speech_cases import CODES_CASES, SPEECH_CASES


class TestSpeech(TowerContract):
    cases: ClassVar = SPEECH_CASES

    def values(self, n):
        return [(clip([0.9, 0.3, 1.4, 0.5][i % 4], 16_000, i), 16_000) for i in range(n)]

    def exempt_in(self, case):
        if case == "speechclip-cascaded":
            return {"bfloat16_is_close": "keywords are a hard choice: rounding may choose the neighbour"}
        return self.exempt


class TestCodes(TowerContract):
    cases: ClassVar = CODES_CASES

    def values(self, n):
        return sequences(n)
