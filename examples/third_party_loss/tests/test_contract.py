"""The kit of anyclip.testing on both forms of the loss."""

from typing import ClassVar

from anyclip.testing import LossContract


class TestVSE(LossContract):
    name = "vse"
    cases: ClassVar = {"hardest": {}, "all": {"hardest": False}}
