"""The kit of anyclip.testing on this package's parts."""

from typing import ClassVar

from anyclip.testing import LossContract


class TestMyLoss(LossContract):
    name = "myloss"
    cases: ClassVar = {"default": {}, "smoothed": {"smoothing": 0.1}}
