"""A YAML file as plain values that remember where each came from.

The node tree of ruamel.yaml (YAML 1.2) is walked here, so that every duplicate key is found, dates stay text, and each
value keeps its line. Command-line overrides are laid over it with their own origin.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anyclip.errors import ConfigError, Problem

Key = tuple["str | int", ...]  # path of a value: ("objectives", 0, "pair")
_TAG = "tag:yaml.org,2002:"
_KEPT_AS_TEXT = {f"{_TAG}timestamp", f"{_TAG}str"}


@dataclass
class Source:
    """Plain values (dicts, lists, scalars), the origin of each, and the problems found while reading.

    name: how the file is called in messages. lines: key path -> line. overrides: key path -> override text.
    """

    data: dict[str, Any]
    name: str = "config"
    lines: dict[Key, int] = field(default_factory=dict)
    overrides: dict[Key, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def where(self, key: Key) -> str:
        """`file:line` of the value, or of the nearest thing that holds it; `override ...` for the command line."""
        for length in range(len(key), -1, -1):
            prefix = key[:length]
            if prefix in self.overrides:
                return f"override {self.overrides[prefix]}"
            if prefix in self.lines:
                return f"{self.name}:{self.lines[prefix]}"
        return self.name

    def problem(self, key: Key, message: str) -> Problem:
        return Problem(self.where(key), dotted(key), message)


def dotted(key: Key) -> str:
    """`objectives.0.pair`."""
    return ".".join(map(str, key))


def read_source(path: str | Path) -> Source:
    """Read a config file. Raises ConfigError when it is no YAML mapping; milder problems are in `.problems`."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError([Problem(str(path), "", f"no such file. {_siblings(path)}".rstrip())]) from None
    except IsADirectoryError:
        inside = f" Did you mean {path / 'config.yaml'}?" if (path / "config.yaml").is_file() else ""
        raise ConfigError([Problem(str(path), "", f"is a folder; a config is one YAML file.{inside}")]) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            [Problem(str(path), "", f"is not UTF-8 text: {error.reason} at byte {error.start}.")]
        ) from None
    except OSError as error:
        raise ConfigError([Problem(str(path), "", f"cannot be read: {error.strerror}.")]) from None
    return parse_source(text, name=str(path))


def _siblings(path: Path) -> str:
    from anyclip.errors import did_you_mean

    folder = path.parent
    found = sorted(p.name for p in folder.glob("*.y*ml")) if folder.is_dir() else []
    return did_you_mean(path.name, found, noun=f"Configs in {folder}") if found else ""


def parse_source(text: str, *, name: str) -> Source:
    """Parse YAML text into a Source. Raises ConfigError for a syntax error or when the top is no mapping."""
    source = Source({}, name)
    value = _parse(text, source)
    if not isinstance(value, dict):
        found = "is empty" if value is None else f"holds {_kind(value)}"
        raise ConfigError(
            [Problem(f"{name}:1", "", f"{found}; a config is a mapping with model, objectives, data ...")]
        )
    source.data = value
    return source


def parse_value(text: str) -> tuple[Any, list[Problem]]:
    """One YAML value, as in an override, with the problems inside it. Raises ConfigError for a syntax error."""
    source = Source({}, "override")
    return _parse(text, source), source.problems


def _parse(text: str, source: Source) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 2)
    try:
        node = yaml.compose(text)
    except YAMLError as error:
        raise ConfigError([_syntax_problem(error, source.name)]) from None
    return None if node is None else _Walker(yaml, source).value(node, ())


def _syntax_problem(error: Exception, name: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    where = f"{name}:{mark.line + 1}" if mark is not None else name
    return Problem(where, "", f"not valid YAML: {what}.")


class _Walker:
    """Turns YAML nodes into plain values, noting lines and problems in a Source."""

    def __init__(self, yaml: Any, source: Source):
        self.yaml, self.source = yaml, source
        self.open: list[int] = []  # ids of the nodes that hold the current one: an alias to one of them never ends

    def value(self, node: Any, key: Key) -> Any:
        self.source.lines.setdefault(key, node.start_mark.line + 1)
        if id(node) in self.open:
            line = self.source.lines[key]
            self.source.problems.append(
                Problem(f"{self.source.name}:{line}", dotted(key), "an alias inside its own anchor")
            )
            return None
        self.open.append(id(node))
        try:
            if node.id == "mapping":
                return self.mapping(node, key)
            if node.id == "sequence":
                return [self.value(child, (*key, i)) for i, child in enumerate(node.value)]
            return self.scalar(node, key)
        finally:
            self.open.pop()

    def mapping(self, node: Any, key: Key) -> dict[str, Any]:
        values: dict[str, Any] = {}
        first: dict[str, int] = {}
        merged: list[Any] = []
        for name_node, value_node in node.value:
            line = name_node.start_mark.line + 1
            if name_node.tag == f"{_TAG}merge":
                merged += value_node.value if value_node.id == "sequence" else [value_node]
                continue
            if name_node.id != "scalar":
                self.complain(name_node, key, "a key must be plain text")
                continue
            name = name_node.value
            if name in first:
                self.complain(name_node, (*key, name), f"given twice, first on line {first[name]}.")
                continue
            first[name] = self.source.lines[(*key, name)] = line
            values[name] = self.value(value_node, (*key, name))
        for other in merged:
            inherited = self.value(other, key)
            if isinstance(inherited, dict):
                values = {**inherited, **values}
            else:
                self.complain(other, key, "<< takes a mapping or a list of mappings")
        return values

    def scalar(self, node: Any, key: Key) -> Any:
        if node.tag in _KEPT_AS_TEXT:  # a date stays as written: no setting is a date, and file names look like one
            return node.value
        if not node.tag.startswith(_TAG) or node.tag[len(_TAG) :] not in {"int", "float", "bool", "null"}:
            self.complain(node, key, f"the tag {node.tag.replace(_TAG, '!!')} is not allowed in a config")
            return None
        try:
            return self.yaml.constructor.construct_object(node)
        except Exception as error:
            self.complain(node, key, f"cannot be read: {error}")
            return None

    def complain(self, node: Any, key: Key, message: str) -> None:
        where = self.source.name if self.source.name == "override" else f"{self.source.name}:{node.start_mark.line + 1}"
        self.source.problems.append(Problem(where, dotted(key), message))


def _kind(value: Any) -> str:
    return {list: "a list", str: "a string", bool: "true or false", int: "a number", float: "a number"}.get(
        type(value), type(value).__name__
    )
