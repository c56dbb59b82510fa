"""Words for what pydantic found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, get_args, get_type_hints

from anyclip.config.source import Key
from anyclip.errors import did_you_mean, nearest

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a string",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
    "mapping_type": "a mapping",
    "none_required": "null",
}
_BOUNDS = {
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
}


@dataclass
class Issue:
    """One mistake at a key path, relative to the dataclass that was checked.

    missing: a required key is absent. relation: from a `__post_init__`, about several fields of one dataclass.
    of_mapping: the value itself should have been a mapping. meant: the key that an unknown key is most like.
    idle: the value would do nothing. about: other keys whose value it depends on.
    """

    key: Key
    message: str
    missing: bool = False
    relation: bool = False
    of_mapping: bool = False
    meant: str | None = None
    idle: bool = False
    about: tuple[Key, ...] = field(default=())


def issues_of(cls: type, data: Any, errors: Iterable[Mapping[str, Any]], noun: str) -> list[Issue]:
    """Issues in the order of the data, from `ValidationError.errors()`; the branches of a union become one issue."""
    by_key: dict[Key, list[Mapping[str, Any]]] = {}
    for error in errors:
        by_key.setdefault(_data_key(data, error["loc"], error["type"]), []).append(error)
    issues = []
    for key, found in by_key.items():
        # a mapping in a union of `mapping | text` is judged as a mapping: its inner errors, not "must be text"
        inner = any(other[: len(key)] == key and len(other) > len(key) for other in by_key)
        if inner and all(_is_shape(error) for error in found):
            continue
        issues.append(_issue(cls, data, key, found, noun))
    misspelt = {(*i.key[:-1], i.meant) for i in issues if i.meant}
    return [issue for issue in issues if not (issue.missing and issue.key in misspelt)]


def _is_shape(error: Mapping[str, Any]) -> bool:
    return error["type"] in _EXPECTED or error["type"] == "literal_error"


def _data_key(data: Any, loc: Iterable[Any], kind: str) -> Key:
    """pydantic's location without the names of union branches, which are no keys of the data."""
    parts = list(loc)
    key: list[Any] = []
    for i, part in enumerate(parts):
        here = range(len(data)) if isinstance(data, list) else data if isinstance(data, dict) else ()
        if part in here:
            data = data[part]
        elif not (i == len(parts) - 1 and kind in ("missing", "missing_argument")):
            continue
        key.append(part)
    return tuple(key)


def _issue(cls: type, data: Any, key: Key, found: list[Mapping[str, Any]], noun: str) -> Issue:
    kinds = {error["type"] for error in found}
    if "unexpected_keyword_argument" in kinds or "extra_forbidden" in kinds:
        what = f"unknown {noun}." if noun.startswith("option of") and len(key) == 1 else "unknown key."
        names = _field_names(cls, key[:-1])
        hint = did_you_mean(str(key[-1]), names, noun="Known") if names else "It takes none."
        return Issue(key, f"{what} {hint}", meant=nearest(str(key[-1]), names))
    if kinds & {"missing", "missing_argument"}:
        return Issue(key, "is required.", missing=True)
    value = _at(data, key)
    if any(_is_shape(error) for error in found):
        return Issue(key, _shape_message(found, value), of_mapping="dataclass_type" in kinds)
    error = found[0]
    context = error.get("ctx") or {}
    if error["type"] in _BOUNDS:
        wanted = " and ".join(_BOUNDS[e["type"]].format_map(_tidy(e.get("ctx"))) for e in found if e["type"] in _BOUNDS)
        return Issue(key, f"must be {wanted}, not {show(value)}.")
    if error["type"] in ("too_short", "too_long"):
        bound = context.get("min_length", context.get("max_length"))
        few = "at least" if error["type"] == "too_short" else "at most"
        return Issue(key, f"must have {few} {bound} item{'s' if bound != 1 else ''}, not {context['actual_length']}.")
    if error["type"] in ("value_error", "assertion_error"):
        text = str(context.get("error", error["msg"]))
        return Issue(_relation_key(cls, key, value, text), _sentence(text), relation=True)
    return Issue(key, _sentence(f"{error['msg'][0].lower()}{error['msg'][1:]}, not {show(value)}"))


def _shape_message(found: list[Mapping[str, Any]], value: Any) -> str:
    wanted: list[str] = []
    hint = ""
    for error in found:
        if error["type"] == "literal_error":
            choices = re.findall(r"'([^']*)'", error["ctx"]["expected"])
            wanted += [c for c in choices if c not in wanted]
            if isinstance(value, str) and choices:
                close = did_you_mean(value, choices)
                hint = f" {close}" if close.startswith("Did you mean") else hint
        elif error["type"] in _EXPECTED:
            wanted += [_EXPECTED[error["type"]]] if _EXPECTED[error["type"]] not in wanted else []
        elif error["type"] in _BOUNDS:
            wanted.append("a number " + _BOUNDS[error["type"]].format_map(_tidy(error.get("ctx"))))
    if isinstance(value, float) and value.is_integer() and "a whole number" in wanted:
        hint = f" Write {int(value)}."
    return f"must be {', '.join(wanted[:-1])}{' or ' if len(wanted) > 1 else ''}{wanted[-1]}, not {show(value)}.{hint}"


def show(value: Any) -> str:
    """A value as a user wrote it, short."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "...'"


def _tidy(context: Mapping[str, Any] | None) -> dict[str, Any]:
    return {k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in (context or {}).items()}


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "?", "!")) else text + "."


def _at(data: Any, key: Key) -> Any:
    for part in key:
        data = data[part]
    return data


def _relation_key(cls: type, key: Key, value: Any, text: str) -> Key:
    """The field that a `__post_init__` message speaks of first, when the data has it: it gives the line."""
    owner = _class_at(cls, key)
    names = [f.name for f in fields(owner)] if owner is not None else []
    given = [n for n in names if isinstance(value, dict) and n in value]
    spoken = {n: m.start() for n in given if (m := re.search(rf"\b{re.escape(n)}\b", text))}
    return (*key, min(spoken, key=spoken.__getitem__)) if spoken else key


def _field_names(cls: type, key: Key) -> list[str]:
    owner = _class_at(cls, key)
    return [f.name for f in fields(owner) if f.init] if owner is not None else []


def _class_at(cls: Any, key: Key) -> Any:
    """The dataclass that describes the mapping at a key path, or None."""
    found = _dataclass_in(cls)
    for part in key:
        if isinstance(part, int) or found is None or not is_dataclass(found):
            continue
        hints = get_type_hints(found)
        inner = _dataclass_in(hints.get(str(part))) if str(part) in hints else found
        found = inner
    return found


def _dataclass_in(hint: Any) -> Any:
    """The first dataclass inside a type: `list[X] | None` -> X."""
    if isinstance(hint, type) and is_dataclass(hint):
        return hint
    for argument in get_args(hint):
        found = _dataclass_in(argument)
        if found is not None:
            return found
    return None
