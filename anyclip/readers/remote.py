"""Range reads from a file behind a URL (fsspec), with retries, or a refusal that says why they are impossible."""

from __future__ import annotations

import os
import time
from typing import Any

from anyclip.errors import BadSample, DataError
from anyclip.readers import paths

PAUSES = (0.5, 2.0)
"""Seconds to wait before the second and the third try."""


class RemoteFile:
    """Bytes of a remote file by offset. Opens its file system anew in each process; picklable.

    Raises DataError when the server tells no size or cannot send parts of a file.
    """

    def __init__(self, url: str):
        self.url = url
        stamp = paths.remote_stamp(url)
        if not stamp["size"]:
            raise self._refuse("is empty" if stamp["size"] == 0 else "the server does not tell its size")
        self.size = int(stamp["size"])
        self.stamp = str(sorted(stamp.items()))
        self._opened: tuple[int, Any, str] | None = None
        self._probe()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def _filesystem(self) -> tuple[Any, str]:
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), *paths.open_filesystem(self.url))
        return self._opened[1], self._opened[2]

    def _refuse(self, reason: str) -> DataError:
        return DataError(
            f"no random access: {reason}.",
            where=self.url,
            hint="Copy the shards: set `remote: copy`, or download them.",
        )

    def _probe(self) -> None:
        """Ask for 16 bytes in the middle; a server that ignores the range would send the whole file each time."""
        filesystem, path = self._filesystem()
        at, size = max(0, self.size // 2 - 8), min(16, self.size)
        try:
            with filesystem.open(path, "rb", block_size=1 << 16, cache_type="none") as file:
                file.seek(at)
                data = file.read(size)
        except Exception as error:  # every file system has exceptions of its own
            raise self._refuse(f"the server does not send parts of a file ({error})") from error
        if len(data) != size:
            raise self._refuse("the server does not send parts of a file")

    def read(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`. Raises BadSample after three failed tries."""
        end = min(offset + size, self.size)
        for pause in (*PAUSES, None):
            filesystem, path = self._filesystem()
            try:
                data = filesystem.cat_file(path, start=offset, end=end)
                if len(data) == end - offset:
                    return data
                problem: object = f"{len(data)} bytes came instead of {end - offset}"
            except Exception as error:  # connections break in many ways
                problem = error
            if pause is not None:
                time.sleep(pause)
        raise BadSample(f"{self.url}: bytes {offset} to {end} cannot be read: {problem}")
