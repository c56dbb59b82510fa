"""The kit of anyclip.testing on this package's parts."""

from anyclip.testing import ModalityContract, TowerContract


class TestMyTower(TowerContract):
    name = "mymodality/mytower"


class TestModality(ModalityContract):
    name = "mymodality"
