"""The kit of anyclip.testing on this package's parts."""

from anyclip.testing import TowerContract


class TestMyTower(TowerContract):
    name = "mymodality/mytower"
