"""The kit over all configurations of `cases.py`."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from anyclip_video.features_processor import example_features

from anyclip.registry import get_registry
from anyclip.testing import TowerContract

from .cases import FEATURES, FRAMES, TRANSFORMERS

NO_GRADIENT = {"gradient_reaches_every_parameter": "without an encoder it has no parameter"}


def clips(n: int) -> list[np.ndarray]:
    """Arrays [T, H, W, 3] of different lengths, some shorter than what towers take."""
    rng = np.random.Generator(np.random.Philox(1))
    return [rng.integers(0, 256, ((2, 6, 3, 9)[i % 4], 24, 32, 3), dtype=np.uint8) for i in range(n)]


class TestFrames(TowerContract):
    cases: ClassVar = FRAMES

    def values(self, n):
        return clips(n)


class TestTransformers(TowerContract):
    cases: ClassVar = TRANSFORMERS

    def values(self, n):
        return clips(n)


class TestFeatures(TowerContract):
    cases: ClassVar = FEATURES

    def values(self, n):
        return example_features(n)


def test_every_registered_tower_has_a_case():
    ours = {part.spec.name for part in get_registry().parts("tower") if part.distribution == "anyclip-video"}
    assert ours == {case[0] for cases in (FRAMES, TRANSFORMERS, FEATURES) for case in cases.values()}
