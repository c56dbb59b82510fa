"""`anyclip conformance NAME|PACKAGE`: try everything that a part promises."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from anyclip.cli.output import print_table
from anyclip.errors import UserError
from anyclip.registry import Part

COLOURS = {"passed": "green", "failed": "red", "noted": "yellow", "skipped": "bright_black"}


@click.command("conformance")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="Option to try a single part with.")
@click.option("--check", "checks", multiple=True, metavar="CHECK", help="Only this check; repeatable.")
@click.option("--failed", "only_failed", is_flag=True, help="Print only what failed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    names: tuple[str, ...], options: tuple[str, ...], checks: tuple[str, ...], only_failed: bool, as_json: bool
) -> None:
    """Try everything that a plugin's parts promise, on small instances with random weights.

    NAME is a registry name (a tower, loss, reader ...) or an installed package, whose parts are tried one by one. The
    exit code is 1 when anything failed; optional checks that do not hold are only noted.
    """
    from anyclip.testing.conformance import PartReport, conform, parts_named

    parts = [part for name in names for part in parts_named(name)]
    chosen = _options(options, parts)
    reports = []
    for part in parts:
        started = time.perf_counter()
        found = tuple(conform(part, options=chosen, checks=checks))
        report = PartReport(part.spec.kind, part.spec.name, part.distribution, found)
        reports.append(report)
        if not as_json:
            _print(report, time.perf_counter() - started, only_failed)
    if as_json:
        click.echo(json.dumps([_as_json(report) for report in reports], indent=2))
    elif len(reports) > 1:
        bad = sum(not report.ok for report in reports)
        click.echo(f"{len(reports)} parts, {bad} with faults")
    if any(not report.ok for report in reports):
        raise click.exceptions.Exit(1)


def _options(given: tuple[str, ...], parts: list[Part]) -> dict[str, Any] | None:
    """`--option width=16` as plain values, read as YAML, over the part's own small options."""
    if not given:
        return None
    if len(parts) != 1:
        raise UserError("--option is for one part.", hint=f"These are {len(parts)}: {_listed(parts)}.")
    from ruamel.yaml import YAML, YAMLError

    values = dict(getattr(parts[0].spec, "tiny", {}))
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--option {text!r} is not KEY=VALUE.")
        try:
            values[key] = YAML(typ="safe", pure=True).load(value)
        except YAMLError as error:
            raise UserError(f"--option {text!r} is not YAML: {' '.join(str(error).split())}") from error
    return values


def _listed(parts: list[Part]) -> str:
    return ", ".join(part.spec.name for part in parts[:6]) + (" ..." if len(parts) > 6 else "")


def _print(report: Any, seconds: float, only_failed: bool) -> None:
    counts = {s: sum(o.status == s for o in report.outcomes) for s in ("passed", "failed", "noted", "skipped")}
    told = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
    title = click.style(f"{report.kind} {report.name}", bold=True)
    click.echo(f"{title} of {report.distribution}: {told} ({seconds:.1f} s)")
    shown = [o for o in report.outcomes if o.status == "failed" or not only_failed]
    if shown:
        rows = [(o.status, o.check, o.message) for o in shown]
        print_table(("Status", "Check", "Finding"), rows)
        for outcome in shown:
            if outcome.status in ("failed", "noted") and outcome.mend:
                click.echo(f"  {click.style(outcome.check, fg=COLOURS[outcome.status])}: mend: {outcome.mend}")
    click.echo()


def _as_json(report: Any) -> dict[str, Any]:
    outcomes = [
        {"check": o.check, "status": o.status, "message": o.message, "mend": o.mend, "about": o.about}
        for o in report.outcomes
    ]
    return {
        "kind": report.kind,
        "name": report.name,
        "distribution": report.distribution,
        "ok": report.ok,
        "checks": outcomes,
    }
