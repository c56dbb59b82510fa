"""Which files to embed, and by which stream."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anyclip.errors import UserError, did_you_mean
from anyclip.registry import get_registry


@dataclass(frozen=True)
class Entry:
    """One value to embed: `id` names it in the table, `shown` is what a search shows of it (a path, a sentence)."""

    id: str
    stream: str
    value: Any
    shown: str


def find_entries(
    paths: Iterable[str], streams: Mapping[str, str], *, modality: str | None = None, stream: str | None = None
) -> Iterator[Entry]:
    """The values in files, folders (searched to the bottom) and glob patterns, in a fixed order.

    A file of a modality whose strings are values (`.txt`) holds one value a line, named `file:line`.

    Args:
        streams: stream -> modality of the model.
        modality, stream: take every file as this, instead of deciding by its suffix. Of a folder, those with a
            suffix of that modality, or where there are none those with a suffix of any.

    Raises UserError for a path that is not there, a suffix that nothing or more than one thing claims, and a folder
    without anything to embed.
    """
    chooser = _Chooser(streams, modality, stream)
    for path in paths:
        for file in _expand(path, chooser):
            yield from _entries(file, chooser.stream(file))


def _expand(path: str, chooser: _Chooser) -> list[str]:
    if os.path.isdir(path):
        files = sorted(os.path.join(root, name) for root, _, names in os.walk(path) for name in names)
        wanted = [file for file in files if chooser.claims(file)]
        if not wanted and chooser.named:  # the user knows better: the sound of videos, say
            wanted = [file for file in files if modality_of_file(file)]
        if not wanted:
            raise UserError("the folder holds no file that the model embeds.", where=path, hint=chooser.known())
        return wanted
    if os.path.exists(path):
        return [path]
    found = sorted(file for file in glob.glob(path, recursive=True) if os.path.isfile(file))
    if not found:
        raise UserError("there is no such file.", where=path)
    return found


def _entries(file: str, stream: tuple[str, bool]) -> Iterator[Entry]:
    name, lines = stream
    if not lines:
        yield Entry(file, name, file, file)
        return
    try:
        with open(file, encoding="utf-8-sig") as text:
            for number, line in enumerate(text, 1):
                if line.strip():
                    yield Entry(f"{file}:{number}", name, line.strip(), line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read as text: {error}.", where=file) from error


class _Chooser:
    """Stream of a file by its suffix, or the one that the user named."""

    def __init__(self, streams: Mapping[str, str], modality: str | None, stream: str | None):
        self.streams = streams
        if stream is not None and stream not in streams:
            raise UserError(f"the model has no stream {stream!r}.", hint=did_you_mean(stream, streams, noun="Streams"))
        modalities = sorted(set(streams.values()))
        if modality is not None and modality not in modalities:
            hint = did_you_mean(modality, modalities, noun="Modalities of the model")
            raise UserError(f"the model has no modality {modality!r}.", hint=hint)
        self.fixed, self.modality = stream, modality

    @property
    def named(self) -> bool:
        """Whether the user said what the files are."""
        return self.fixed is not None or self.modality is not None

    def claims(self, file: str) -> bool:
        return bool(modality_of_file(file, self._modalities()))

    def stream(self, file: str) -> tuple[str, bool]:
        """(stream, whether the file holds a value a line)."""
        name = self.fixed or self._stream_of(self.modality or self._modality_of(file), file)
        return name, get_registry().modality(self.streams[name]).string_is_value

    def known(self) -> str:
        claimed = [s for m in self._modalities() for s in get_registry().modality(m).suffixes]
        return f"It takes {', '.join(claimed) or 'no suffix'}."

    def _modalities(self) -> list[str]:
        if self.fixed is not None:
            return [self.streams[self.fixed]]
        return [self.modality] if self.modality else sorted(set(self.streams.values()))

    def _modality_of(self, file: str) -> str:
        found = modality_of_file(file, self._modalities())
        if len(found) > 1:
            raise UserError(
                f"the suffix is claimed by {' and '.join(found)}.", where=file, hint=f"Say --modality {found[0]}."
            )
        if not found:
            elsewhere = modality_of_file(file)
            hint = f"It is {' or '.join(elsewhere)}, which the model does not embed." if elsewhere else self.known()
            raise UserError(
                "no modality of the model claims the suffix.", where=file, hint=f"{hint} Or say --modality."
            )
        return found[0]

    def _stream_of(self, modality: str, file: str) -> str:
        found = [s for s, m in self.streams.items() if m == modality]
        if len(found) > 1:
            raise UserError(
                f"the streams {' and '.join(found)} are both {modality}.", where=file, hint=f"Say --stream {found[0]}."
            )
        return found[0]


def modality_of_file(path: str, modalities: Sequence[str] | None = None) -> list[str]:
    """Modalities (of those given) that claim a file's suffix; the longest matching suffix wins."""
    lower = path.lower()
    claims: dict[str, int] = {}
    for name in get_registry().names("modality") if modalities is None else modalities:
        length = max((len(s) for s in get_registry().modality(name).suffixes if lower.endswith(s)), default=0)
        if length:
            claims[name] = length
    longest = max(claims.values(), default=0)
    return sorted(name for name, length in claims.items() if length == longest)
