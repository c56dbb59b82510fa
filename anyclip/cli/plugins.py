"""`anyclip plugins`: what is installed, what failed to load and why. Imports no torch."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import Any

import click

from anyclip.cli.output import print_table
from anyclip.registry import Part, PluginRow, get_registry
from anyclip.registry.registry import installed_backends, missing_modules
from anyclip.specs import SPEC_TYPES, ModalitySpec

PLURALS = {"modality": "modalities", "similarity": "similarities", "loss": "losses"}


def plural(kind: str) -> str:
    return PLURALS.get(kind, f"{kind}s")


@click.command("plugins")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one object per plugin.")
@click.option("--check", is_flag=True, help="Also import every part, each module in a process of its own (slow).")
@click.argument("kind", required=False, type=click.Choice([plural(kind) for kind in SPEC_TYPES]))
def command(as_json: bool, check: bool, kind: str | None) -> None:
    """What is installed: plugins, their parts, and what failed to load and why.

    KIND lists only such parts: towers, losses, readers ... The environment variable ANYCLIP_PLUGINS=a,b loads only
    those plugins. With --check the exit code is 1 when anything has a problem.
    """
    registry = get_registry()
    parts = [part for name in SPEC_TYPES for part in registry.parts(name) if kind in (None, plural(name))]
    problems = _probe(parts) if check else {}
    if as_json:
        click.echo(json.dumps([_row_json(row, parts, problems) for row in registry.rows], indent=2))
    else:
        if kind is None:
            _print_rows(registry.rows)
        _print_parts(parts)
        if check:
            _print_check(problems)
    if check and (any(problems.values()) or any(row.status != "ok" for row in registry.rows)):
        raise click.exceptions.Exit(1)


def _probe(parts: list[Part]) -> dict[str, list[str]]:
    from anyclip.registry.probe import probe

    return probe(parts)


def _print_rows(rows: list[PluginRow]) -> None:
    table = [(row.name, row.distribution, row.version, row.status, _brings(row)) for row in rows]
    print_table(("Plugin", "Package", "Version", "Status", "Brings"), table)
    for row in rows:
        if row.problems:
            click.echo()
        for problem in row.problems:
            click.echo(f"{click.style(row.name, bold=True)}: {problem}")
        if row.mend:
            click.echo(f"  mend: {row.mend}")


def _brings(row: PluginRow) -> str:
    counts = Counter(part.spec.kind for part in row.parts)
    return ", ".join(f"{n} {kind if n == 1 else plural(kind)}" for kind, n in counts.items()) or "nothing"


def _print_parts(parts: list[Part]) -> None:
    if not parts:
        click.echo("\nnothing of this kind is installed")
        return
    clashing = {key for key, n in Counter((p.spec.kind, p.spec.name) for p in parts).items() if n > 1}
    rows = []
    for part in parts:
        spec = part.spec
        missing = missing_modules(spec)
        note = f" (needs {', '.join(missing)}: pip install {' '.join(missing)})" if missing else ""
        if isinstance(spec, ModalitySpec) and spec.backends:
            note += f" (decoded by {', '.join(_backend(*pair) for pair in installed_backends(spec).items())})"
        name = part.qualified if (spec.kind, spec.name) in clashing else spec.name
        rows.append((spec.kind, name, part.distribution, spec.summary + note))
    click.echo()
    print_table(("Kind", "Name", "Package", "Summary"), rows)


def _backend(name: str, installed: bool) -> str:
    return name if installed else f"{name}: not installed"


def _print_check(problems: dict[str, list[str]]) -> None:
    click.echo()
    bad = {label: found for label, found in problems.items() if found}
    for label, found in bad.items():
        for problem in found:
            click.echo(f"{click.style('failed', fg='red')} {label}: {problem}")
    click.echo(f"{len(problems) - len(bad)} of {len(problems)} parts import")


def _row_json(row: PluginRow, parts: list[Part], problems: dict[str, list[str]]) -> dict[str, Any]:
    fields = asdict(row)
    fields["parts"] = [_part_json(part, problems) for part in row.parts if part in parts]
    return fields


def _part_json(part: Part, problems: dict[str, list[str]]) -> dict[str, Any]:
    label = f"{part.spec.kind} {part.qualified}"
    found = {"kind": part.spec.kind, "qualified": part.qualified, **asdict(part.spec)}
    found["missing"] = missing_modules(part.spec)
    if isinstance(part.spec, ModalitySpec):
        found["backends"] = installed_backends(part.spec)
    return {**found, "problems": problems[label]} if label in problems else found
