"""Headers of a shard in few reads."""

from __future__ import annotations

from collections.abc import Callable


class Window:
    """Small reads that go forward, out of blocks of `block` bytes: headers of a remote shard in few requests."""

    def __init__(self, read: Callable[[int, int], bytes], block: int):
        self._read, self._block = read, block
        self._start, self._data = 0, b""

    def read(self, size: int, offset: int) -> bytes:
        at = offset - self._start
        if at < 0 or at + size > len(self._data):
            self._start, self._data = offset, self._read(max(size, self._block), offset)
            at = 0
        return self._data[at : at + size]
