"""Open files shared by many reads: positioned reads, safe under fork, threads and pickling."""

from __future__ import annotations

import os
import resource
from collections import OrderedDict
from io import FileIO


def _quarter_of_allowed() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, min(512, soft // 4)) if soft > 0 else 512


class FilePool:
    """`pread` on the most recently used files; keeps at most `limit` of them open (a quarter of what the process may
    open, at most 512).

    Positioned reads share no offset, so that forked workers and threads may use the same descriptors. A file that
    falls out of the pool closes when its last read is done (the reader holds a reference). Pickled empty.
    """

    def __init__(self, limit: int | None = None):
        self.limit = limit or _quarter_of_allowed()
        self._open: OrderedDict[str, FileIO] = OrderedDict()

    def __getstate__(self) -> dict[str, int]:
        return {"limit": self.limit}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.__init__(state["limit"])

    def __len__(self) -> int:
        return len(self._open)

    def pread(self, path: str, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end of the file. Raises OSError."""
        file = self._file(path)
        data = os.pread(file.fileno(), size, offset)
        if len(data) == size or not data:
            return data
        parts = [data]
        while (got := sum(map(len, parts))) < size:  # the kernel returns at most 2 GiB at a time
            data = os.pread(file.fileno(), size - got, offset + got)
            if not data:
                break
            parts.append(data)
        return b"".join(parts)

    def _file(self, path: str) -> FileIO:
        file = self._open.get(path)
        if file is not None:
            if len(self._open) > 1:
                self._touch(path)
            return file
        file = self._open[path] = FileIO(path, "rb")
        while len(self._open) > self.limit:
            try:
                self._open.popitem(last=False)
            except KeyError:  # another thread was faster
                break
        return file

    def _touch(self, path: str) -> None:
        try:
            self._open.move_to_end(path)
        except KeyError:  # another thread has just dropped it; this read still holds the file
            return

    def close(self) -> None:
        """Close every file that no read is using."""
        self._open.clear()
