"""The kit of anyclip.testing on this package's parts."""

from typing import ClassVar

from anyclip.testing import ModalityContract, TowerContract


class TestPatches(TowerContract):
    name = "imu/patches"
    cases: ClassVar = {
        "tiny": {"width": 16, "depth": 2, "heads": 2, "seconds": 2.0},
        "slow": {"width": 16, "depth": 1, "heads": 2, "rate": 20.0, "dropout": 0.1},
    }


class TestModality(ModalityContract):
    name = "imu"
