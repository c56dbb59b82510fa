"""A sound reader of a few lines, and readers that break one promise each."""

from __future__ import annotations

import time

from anyclip import Reader
from anyclip.errors import DataError


def example(folder):
    (folder / "lines.txt").write_text("one\ntwo\nthree\n")
    return {"path": str(folder / "lines.txt")}


class Sound(Reader):
    def __init__(self, options, *, base=None):
        try:
            with open(options.path) as file:
                self.lines = file.read().splitlines()
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}.", where=options.path) from error

    def __len__(self):
        return len(self.lines)

    def __getitem__(self, row):
        return {"line": self.lines[row]}

    def columns(self):
        return ["line"]

    def fingerprint(self):
        return str(hash(tuple(self.lines)))


class Wraps(Sound):
    def __getitem__(self, row):
        return super().__getitem__(row % len(self.lines))


class Remembers(Sound):
    reads = 0

    def __getitem__(self, row):
        self.reads += 1
        return {"line": f"{self.lines[row]} {self.reads}"}


class HiddenColumn(Sound):
    def __getitem__(self, row):
        return {**super().__getitem__(row), "number": row}


class OpenFile(Sound):
    def __init__(self, options, *, base=None):
        super().__init__(options)
        self.file = open(options.path)  # noqa: SIM115 (the fault)

    def __del__(self):
        if hasattr(self, "file"):
            self.file.close()


class Anonymous(Sound):
    def sample_id(self, row):
        return "row"


class Timed(Sound):
    def fingerprint(self):
        return str(time.perf_counter())


class FindsAll(Sound):
    def find(self, column, *, modality=None):
        return column


class Traceback(Sound):
    def __init__(self, options, *, base=None):
        with open(options.path) as file:
            self.lines = file.read().splitlines()
