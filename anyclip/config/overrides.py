"""`key.path=value` from the command line, laid over a config."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from anyclip.config.source import Key, Source, dotted, parse_value
from anyclip.errors import ConfigError, Problem


def apply_overrides(source: Source, overrides: Iterable[str]) -> None:
    """Set each `key.path=value` (value parsed as YAML 1.2) in order; list items by their number.

    Changing a `name` drops the `options` beside it, which belong to the old part, unless an override sets them too.
    Mistakes are added to `source.problems`.
    """
    fresh: set[Key] = set()  # `options` that overrides set: not stale
    for text in overrides:
        key, value = _parse(text, source)
        if key is not None:
            _apply(source, key, value, text, fresh)


def _parse(text: str, source: Source) -> tuple[Key | None, Any]:
    path, equals, value = text.partition("=")
    if not equals or not path.strip() or any(not part for part in path.strip().split(".")):
        message = "an override is key.path=value, such as train.steps=100."
        source.problems.append(Problem(f"override {text}", "", message))
        return None, None
    try:
        parsed, problems = parse_value(value)
    except ConfigError as error:
        problems = list(error.problems)
        parsed = None
    key: Key = tuple(path.strip().split("."))
    source.problems += [Problem(f"override {text}", dotted(key), p.message) for p in problems]
    return (None, None) if problems else (key, parsed)


def _apply(source: Source, path: Key, value: Any, text: str, fresh: set[Key]) -> None:
    holder: Any = source.data
    key: list[str | int] = []
    for part in path[:-1]:
        step = _step(holder, str(part))
        if step is None:
            source.problems.append(_bad_step(text, key, holder, str(part)))
            return
        key.append(step)
        if isinstance(holder, dict):
            holder[step] = _spelt_out(holder.get(step), source, tuple(key), text)
        else:
            holder[step] = _spelt_out(holder[step], source, tuple(key), text)
        holder = holder[step]
    last = _step(holder, str(path[-1]), may_append=True)
    if last is None:
        source.problems.append(_bad_step(text, key, holder, str(path[-1])))
        return
    full = (*key, last)
    if last == "name" and isinstance(holder, dict) and holder.get("name") not in (None, value):
        _drop_stale_options(holder, tuple(key), fresh)
    if isinstance(holder, list) and last == len(holder):
        holder.append(value)
    else:
        holder[last] = value  # type: ignore[index]
    fresh |= {full[: i + 1] for i, part in enumerate(full) if part == "options"}
    for known in [k for k in (*source.lines, *source.overrides) if k[: len(full)] == full]:
        source.lines.pop(known, None)  # lines of the value that was replaced
        source.overrides.pop(known, None)
    source.overrides[full] = text


def _spelt_out(value: Any, source: Source, key: Key, text: str) -> Any:
    """What an override reaches into: an absent section becomes a mapping, a bare name its long form."""
    if value is None:
        source.overrides.setdefault(key, text)
        return {}
    return {"name": value} if isinstance(value, str) else value


def _drop_stale_options(holder: dict, key: Key, fresh: set[Key]) -> None:
    if (*key, "options") not in fresh:
        holder.pop("options", None)


def _step(holder: Any, part: str, *, may_append: bool = False) -> str | int | None:
    """The key of one step into a mapping or list, or None when it does not fit."""
    if isinstance(holder, dict):
        return part
    if isinstance(holder, list) and part.isdecimal():
        index = int(part)
        if index < len(holder) or (may_append and index == len(holder)):
            return index
    return None


def _bad_step(text: str, key: list[str | int], holder: Any, part: str) -> Problem:
    at = dotted(tuple(key)) or "the config"
    if isinstance(holder, list):
        many = f"{len(holder)} item{'s' if len(holder) != 1 else ''}, numbered from 0"
        return Problem(f"override {text}", dotted((*key, part)), f"{at} is a list of {many}.")
    return Problem(f"override {text}", dotted((*key, part)), f"{at} is neither a mapping nor a list.")
