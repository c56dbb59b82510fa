"""What the layouts of videos share: files by their published names, captions as lists or rows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from anyclip.errors import DataError
from anyclip.readers.layouts import Entry, LayoutReader
from anyclip_video.plugin import SUFFIXES


class VideoLayout(LayoutReader):
    """Rows of a video with its text; the column `video` is the path, or the part of a file."""

    column: ClassVar[str] = "video"
    nouns: ClassVar[str] = "videos"
    gives: ClassVar[Sequence[str]] = ("text",)

    def files(self) -> dict[str, str]:
        """Name without suffix -> path inside `path`, of every video there is. Raises DataError."""
        folder = self.first_folder([self.options.videos]) if self.options.videos else ""
        root = os.path.join(self.path, folder)
        found: dict[str, str] = {}
        for here, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                stem, suffix = os.path.splitext(name)
                if suffix.lower() in SUFFIXES:
                    found.setdefault(stem, os.path.relpath(os.path.join(here, name), self.path).replace(os.sep, "/"))
        return found

    def rows(
        self, name: str, file: str, captions: Sequence[str], part: Mapping[str, Any] | None = None
    ) -> Iterator[Entry]:
        """The rows of one video, by the option `captions`. A video without any is a broken row."""
        texts = [text for text in (" ".join(caption.split()) for caption in captions) if text]
        if not texts:
            yield Entry(name, problem=f"{name}: has no caption")
        elif self.options.captions == "rows" and len(texts) > 1:
            for k, text in enumerate(texts):
                yield Entry(f"{name}#{k}", file, {"text": text}, part=part)
        else:
            yield Entry(name, file, {"text": texts if len(texts) > 1 else texts[0]}, part=part)


def read_json(path: str, kind: type) -> Any:
    """A JSON file whose outermost value is a list or a mapping. Raises DataError."""
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except json.JSONDecodeError as error:
        raise DataError(f"is not JSON: {error.msg}.", where=f"{path}:{error.lineno}") from None
    except UnicodeDecodeError:
        raise DataError("is not UTF-8.", where=path) from None
    if not isinstance(content, kind):
        wanted = "a list" if kind is list else "an object"
        raise DataError(f"holds {type(content).__name__} where {wanted} belongs.", where=path)
    return content


def field_of(item: Any, name: str, path: str) -> Any:
    """One field of an annotation. Raises DataError naming those found."""
    if isinstance(item, Mapping) and name in item:
        return item[name]
    found = ", ".join(map(str, item)) if isinstance(item, Mapping) else type(item).__name__
    raise DataError(f"an annotation has no {name!r}.", where=path, hint=f"It has: {found}.")
