"""The kit of anyclip.testing on this package's parts."""

from anyclip.testing import ReaderContract


class TestMyReader(ReaderContract):
    name = "myreader"
