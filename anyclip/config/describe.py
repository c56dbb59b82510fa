"""Fields of a dataclass in words: type, range, default and the docstring under each, for `anyclip options` and docs."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import textwrap
import types
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import annotated_types as at

_PLAIN = {
    int: "whole number",
    float: "number",
    str: "string",
    bool: "true or false",
    type(None): "null",
    Any: "anything",
}


@dataclass(frozen=True)
class FieldText:
    """One field in words. default: YAML text, or None when it is required. inner: fields of a nested dataclass."""

    name: str
    type: str
    default: str | None
    doc: str
    inner: tuple[FieldText, ...] = field(default=())


def describe_dataclass(cls: type) -> list[FieldText]:
    """Every field of a dataclass, in order."""
    hints = get_type_hints(cls, include_extras=True)
    docs = field_docs(cls)
    found = []
    for f in fields(cls):
        if f.init:
            inner = _dataclass_in(hints[f.name])
            inside = tuple(describe_dataclass(inner)) if inner is not None and inner is not cls else ()
            found.append(FieldText(f.name, type_text(hints[f.name]), _default(f), docs.get(f.name, ""), inside))
    return found


def field_docs(cls: type) -> dict[str, str]:
    """The string literal under each field, read from the source; base classes first."""
    docs: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
        except (OSError, TypeError):  # no source: built in, or typed at a prompt
            continue
        body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
        for statement, below in itertools.pairwise(body):
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                text = below.value if isinstance(below, ast.Expr) else None
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    docs[statement.target.id] = " ".join(text.value.split())
    return docs


def summary_of(cls: type) -> str:
    """The docstring of a dataclass on one line; "" for the signature that `dataclass` writes for want of one."""
    text = " ".join((cls.__doc__ or "").split())
    return "" if text.startswith(f"{cls.__name__}(") else text


def type_text(hint: Any) -> str:
    """A type in words: `whole number > 0`, `a | b`, `list of string`."""
    if get_origin(hint) is Annotated:
        base, *marks = get_args(hint)
        ranges = [text for mark in marks for text in _range_text(mark)]
        return " ".join([type_text(base), ", ".join(ranges)]) if ranges else type_text(base)
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " | ".join(map(_yaml, args))
    if origin in (Union, types.UnionType):
        return " | ".join(type_text(arg) for arg in args)
    if origin in (list, set, frozenset):
        return f"list of {_bracketed(args[0])}" if args else "list"
    if origin is tuple:
        return f"list of {_bracketed(args[0])}" if args[-1] is ... else f"[{', '.join(map(type_text, args))}]"
    if origin is dict or hint is dict:
        return f"mapping of string to {_bracketed(args[1])}" if args else "mapping"
    if isinstance(hint, type) and is_dataclass(hint):
        return "{" + ", ".join(f.name for f in fields(hint) if f.init) + "}"
    return getattr(hint, "__name__", str(hint))


def _bracketed(hint: Any) -> str:
    text = type_text(hint)
    return f"({text})" if " | " in text else text


def _range_text(mark: Any) -> list[str]:
    signs = {at.Gt: (">", "gt"), at.Ge: (">=", "ge"), at.Lt: ("<", "lt"), at.Le: ("<=", "le")}
    if type(mark) in signs:
        sign, name = signs[type(mark)]
        return [f"{sign} {getattr(mark, name)}"]
    if isinstance(mark, at.Interval):
        return [text for inner in mark for text in _range_text(inner)]
    if isinstance(mark, at.MultipleOf):
        return [f"a multiple of {mark.multiple_of}"]
    if isinstance(mark, at.Len):
        return [f"{mark.min_length} to {mark.max_length or 'any number of'} items"]
    return []


def _default(f: Any) -> str | None:
    if f.default is not MISSING:
        return _yaml(f.default)
    if f.default_factory is not MISSING:
        return _yaml(f.default_factory())
    return None


def _yaml(value: Any) -> str:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, str) and value and value.isprintable() and value.strip() == value:
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _dataclass_in(hint: Any) -> type | None:
    if isinstance(hint, type) and is_dataclass(hint):
        return hint
    return next((found for arg in get_args(hint) if (found := _dataclass_in(arg)) is not None), None)
