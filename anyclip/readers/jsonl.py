"""JSONL tables: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from anyclip.errors import BadSample
from anyclip.readers.lines import LineTable, not_utf8


class JsonlTable(LineTable):
    """A row per line; blank lines are skipped, and a line that is no JSON object is a damaged row."""

    def _records(self) -> Iterator[tuple[int, int, int, dict[str, Any] | str]]:
        columns: dict[str, None] = {}
        with open(self.path, "rb") as file:
            start = file.seek(self._start)
            for line, data in enumerate(file, 1):
                end = start + len(data)
                if not data.isspace():
                    row = self._try(data)
                    if not isinstance(row, str) and not row.keys() <= columns.keys():
                        columns.update(dict.fromkeys(row))
                    yield start, end, line, row
                start = end
        self.columns = list(columns)

    def _try(self, data: bytes) -> dict[str, Any] | str:
        try:
            return self._parse(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            return not_utf8(error)
        except BadSample as error:
            return error.reason

    def _parse(self, text: str) -> dict[str, Any]:
        try:
            value = json.loads(text, object_pairs_hook=_object)
        except json.JSONDecodeError as error:
            raise BadSample(f"is not valid JSON: {error.msg} at column {error.colno}") from None
        except ValueError as error:  # a number of more than 4,300 digits
            raise BadSample(f"is not valid JSON: {error}") from None
        except RecursionError:
            raise BadSample("is nested too deeply") from None
        if not isinstance(value, dict):
            raise BadSample(f"is a JSON {type(value).__name__}, not an object such as {{...}}")
        return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        raise BadSample(f"names {next(n for n in names if names.count(n) > 1)!r} twice")
    return made
