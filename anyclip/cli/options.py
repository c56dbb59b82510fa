"""`anyclip options NAME`: what a part takes, with types, defaults and documentation. Imports no torch."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable
from dataclasses import asdict

import click

from anyclip.config.describe import FieldText, describe_dataclass, summary_of
from anyclip.errors import PluginError, did_you_mean
from anyclip.registry import Part, get_registry
from anyclip.specs import SPEC_TYPES

_KINDS = [kind for kind in SPEC_TYPES if kind not in ("modality", "command")]  # kinds that take options


@click.command("options")
@click.argument("name")
@click.option("--kind", type=click.Choice(_KINDS), help="Which kind, when parts of two kinds have the name.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str, kind: str | None, as_json: bool) -> None:
    """List the options of a part: types, ranges, defaults, documentation.

    NAME is a registry name, such as the name of a tower, loss, reader or evaluation; `anyclip plugins` lists them.
    """
    parts = find_parts(name, kind)
    if as_json:
        click.echo(json.dumps([_as_json(part) for part in parts], indent=2))
        return
    for i, part in enumerate(parts):
        click.echo("\n".join(_lines(part)) if i == 0 else "\n" + "\n".join(_lines(part)))


def find_parts(name: str, kind: str | None = None) -> list[Part]:
    """The part of that name in every kind that has one. Raises PluginError with the nearest name."""
    registry = get_registry()
    kinds = [kind] if kind else _KINDS
    bare = name.rpartition(":")[2]
    found = [registry.part(k, name) for k in kinds if bare in registry.names(k)]
    if found:
        return found
    if kind or "/" in name:
        return [registry.part(kind or "tower", name)]  # raises, naming the package that would bring it
    names = [known for k in kinds for known in registry.names(k)]
    raise PluginError(f"nothing is called {name!r}.", hint=did_you_mean(name, names), next="anyclip plugins")


def _fields(part: Part) -> list[FieldText]:
    cls = get_registry().options_class(part.spec.kind, part.qualified)
    return [] if cls is None else describe_dataclass(cls)


def _lines(part: Part) -> list[str]:
    """The text that is printed for one part."""
    title = click.style(part.spec.name, bold=True)
    lines = [f"{title} ({part.spec.kind} of {part.distribution} {part.version}): {part.spec.summary}"]
    cls = get_registry().options_class(part.spec.kind, part.qualified)
    if cls is not None and summary_of(cls):
        lines.append(summary_of(cls))
    fields = _fields(part)
    if not fields:
        return [*lines, "It takes no options."]
    return [*lines, "", *_field_lines(fields, "")]


def _field_lines(fields: Iterable[FieldText], indent: str) -> list[str]:
    lines = []
    for f in fields:
        default = "required" if f.default is None else f"default {f.default}"
        lines.append(f"{indent}{click.style(f.name, bold=True)}: {f.type}; {default}")
        if f.doc:
            lines += textwrap.wrap(f.doc, 100, initial_indent=f"{indent}    ", subsequent_indent=f"{indent}    ")
        lines += _field_lines(f.inner, indent + "    ")
    return lines


def _as_json(part: Part) -> dict:
    fields = [asdict(f) for f in _fields(part)]
    return {"kind": part.spec.kind, "qualified": part.qualified, "summary": part.spec.summary, "options": fields}
