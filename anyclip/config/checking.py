"""What the checks between values share: the config, what was written, the streams and the registry."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from anyclip.config.messages import Issue
from anyclip.config.schema import Config
from anyclip.config.source import Key
from anyclip.config.validate import check_dataclass
from anyclip.errors import PluginError, did_you_mean
from anyclip.registry import Registry
from anyclip.registry.registry import missing_modules

_VIEW = re.compile(r"[1-9]\d*")


@dataclass
class Checking:
    """One pass of checks. `given`: the plain values as written, to tell a choice from a default."""

    config: Config
    given: dict[str, Any]
    registry: Registry
    issues: list[Issue] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)  # texts in options of objectives and evaluations: field names

    def add(self, key: Key, message: str, *about: Key, idle: bool = False) -> None:
        """Note an issue; `about` are other keys whose values it depends on, `idle` that the value would do nothing."""
        self.issues.append(Issue(key, message, idle=idle, about=about))

    def idle(self, key: Key, why: str, *about: Key) -> None:
        """Note a setting that would silently do nothing, if it was written at all."""
        if self.wrote(key):
            self.add(key, f"does nothing: {why}", *about, idle=True)

    def wrote(self, key: Key) -> bool:
        """Whether the file sets this value to something (null, false and empty set nothing)."""
        value: Any = self.given
        for part in key:
            here: Any = range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ()
            if part not in here:
                return False
            value = value[part]  # type: ignore[call-overload]
        return not (value is None or value is False or value == {} or value == [])

    @property
    def streams(self) -> list[str]:
        return list(self.config.model.towers)

    def stream(self, name: str, key: Key) -> bool:
        """Check a stream reference such as `image` or `image#1`; False (and an issue) when there is no such stream."""
        base, hash_, view = name.partition("#")
        if base not in self.config.model.towers:
            self.add(
                key, f"no stream {base!r}. {did_you_mean(base, self.streams, noun='Streams')}", ("model", "towers")
            )
            return False
        if hash_ and not _VIEW.fullmatch(view):
            self.add(key, f"{name!r}: a view is written {base}#1, {base}#2, ...")
            return False
        return True

    def pair(self, pair: list[str], key: Key) -> bool:
        """Check two different stream references; False when a stream is not there."""
        if len(pair) != 2:
            self.add(key, f"takes two streams, not {len(pair)}.")
            return False
        found = [self.stream(name, (*key, i)) for i, name in enumerate(pair)]
        if all(found) and pair[0] == pair[1]:
            self.add(key, f"compares {pair[0]} with the very same values; write {pair[0]}#1 for a second view.")
        return all(found)

    def stream_options(self, options: dict[str, Any], key: Key) -> None:
        """Check the streams named by options that are called `stream`, `streams`, `pair` or `..._stream`."""
        for option, value in options.items():
            if option in ("stream", "streams", "pair") or option.endswith(("_stream", "_streams")):
                for name in value if isinstance(value, list) else [value]:
                    if isinstance(name, str):
                        self.stream(name, (*key, option))

    def part(self, kind: str, name: str, options: dict[str, Any], key: Key, options_key: Key) -> Any:
        """Check a registered part and its options. Returns its built options, or None."""
        if not name:
            return None
        try:
            spec = self.registry.part(kind, name).spec
            cls = self.registry.options_class(kind, name)
        except PluginError as error:
            self.add(key, one_line(error))
            return None
        missing = missing_modules(spec)
        if missing:
            self.add(key, f"{name} needs {', '.join(missing)}, which is not installed: pip install {' '.join(missing)}")
        if cls is None:
            for option in options:
                self.add((*options_key, option), f"unknown option of {name}. It takes none.", key)
            return None
        checked = check_dataclass(cls, options, noun=f"option of {name}", salvage=True)
        for issue in checked.issues:
            issue.key, issue.about = (*options_key, *issue.key), (key,)
            self.issues.append(issue)
        return None if checked.dropped else checked.value

    def regex(self, text: str, key: Key) -> None:
        try:
            re.compile(text)
        except re.error as error:
            self.add(key, f"not a regular expression: {error}.")


def one_line(error: PluginError) -> str:
    """A PluginError as one line of a config report; the hint to list all plugins is left out."""
    text = f"{error.message} {error.hint or ''}".strip()
    return f"{text} Run: {error.next}" if error.next and error.next != "anyclip plugins" else text
