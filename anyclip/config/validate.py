"""Strict checks of plain values against a dataclass, with every mistake named.

pydantic does the checking (strict JSON mode: no coercion, unknown keys refused); this module gives it JSON, finds what
it leaves out (NaN, relations hidden behind another mistake) and words the result.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from os import PathLike, fspath
from typing import Any, TypeVar

from anyclip.config.messages import Issue, issues_of
from anyclip.config.source import Key, dotted
from anyclip.errors import ConfigError, Problem

T = TypeVar("T")


@dataclass
class Checked:
    """The built object, or None; every issue; and the values left out to get it when `salvage` was asked."""

    value: Any
    issues: list[Issue]
    dropped: list[Key]


def build_dataclass(cls: type[T], data: dict[str, Any], *, label: str) -> T:
    """Build a dataclass from plain values. Raises ConfigError with every mistake as `label: key: what is wrong`."""
    checked = check_dataclass(cls, data, noun=label)
    if checked.issues:
        raise ConfigError(Problem(label, dotted(issue.key), issue.message) for issue in checked.issues)
    return checked.value


def check_dataclass(cls: type, data: Any, *, noun: str = "", salvage: bool = False) -> Checked:
    """Validate plain values against a dataclass and report every issue.

    noun: what the unknown keys would belong to (`option of audio/htsat`). salvage: also build an object without the
    bad values, so that checks between values can go on; `dropped` lists the keys left out.
    """
    plain, issues = _plain(data, ())
    dropped = [issue.key for issue in issues]
    plain = leave_out(plain, issues)
    value, found = _validate(cls, plain, noun)
    issues += found
    for _ in range(6):  # each round leaves out what the last one refused; relations show once their dataclass is whole
        if not found:
            break
        dropped += [issue.key for issue in found]
        plain = leave_out(plain, found)
        value, found = _validate(cls, plain, noun)
        issues += [issue for issue in found if issue.relation and not _mentions(issue, issues)]
    if dropped and not salvage:
        value = None
    return Checked(value, issues, dropped)


def leave_out(data: Any, issues: Iterable[Issue]) -> Any:
    """A copy of `data` without the values that the issues name; what is required gets a filler."""
    data = _copy(data)
    for issue in issues:
        _leave_out(data, issue)
    return data


def _leave_out(data: Any, issue: Issue) -> None:
    holders = [data]
    for part in issue.key[:-1]:
        try:
            holders.append(holders[-1][part])
        except (KeyError, IndexError, TypeError):
            return
    if not issue.key:
        return
    holder, last = holders[-1], issue.key[-1]
    if isinstance(holder, list) and issue.of_mapping:
        holder[last] = {}  # type: ignore[index]  # keeps the places of the items after it
    elif isinstance(holder, list) and isinstance(holders[-2], dict):
        holders[-2].pop(issue.key[-2], None)  # one bad number or name spoils its list
    elif isinstance(holder, dict) and issue.missing:
        holder[last] = {} if last in ("model", "towers") else ""
    elif isinstance(holder, dict):
        holder.pop(last, None)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _copy(v) for k, v in value.items()}
    return [_copy(v) for v in value] if isinstance(value, list) else value


def _mentions(relation: Issue, others: list[Issue]) -> bool:
    """A relation that reads a value which was left out speaks of the default, not of what the user wrote."""
    names = {str(name) for issue in others if issue.key for name in (issue.key[-1], issue.meant) if name}
    return any(re.search(rf"\b{re.escape(name)}\b", relation.message) for name in names)


def _validate(cls: type, plain: Any, noun: str) -> tuple[Any, list[Issue]]:
    from pydantic import ValidationError

    try:
        return _adapter(cls).validate_json(json.dumps(plain), strict=True, extra="forbid"), []
    except ValidationError as error:
        return None, issues_of(cls, plain, error.errors(include_url=False), noun)


@cache
def _adapter(cls: type) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


def _plain(value: Any, key: Key) -> tuple[Any, list[Issue]]:
    """JSON-able values; paths become text, numbers that are not finite and strange objects become issues."""
    if isinstance(value, dict):
        pairs = {str(k): _plain(v, (*key, str(k))) for k, v in value.items()}
        return {k: v for k, (v, _) in pairs.items()}, [issue for _, found in pairs.values() for issue in found]
    if isinstance(value, (list, tuple)):
        items = [_plain(v, (*key, i)) for i, v in enumerate(value)]
        return [v for v, _ in items], [issue for _, found in items for issue in found]
    if is_dataclass(value) and not isinstance(value, type):
        return _plain({f.name: getattr(value, f.name) for f in fields(value) if f.init}, key)
    if isinstance(value, PathLike):
        return fspath(value), []
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a numpy or torch scalar
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None, [Issue(key, f"must be a finite number, not {value}.")]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value, []
    return None, [Issue(key, f"must be a plain value, not {type(value).__name__}.")]
