"""`anyclip doctor`: this machine or cluster, and whether a global batch means the same thing on all its processes."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from anyclip.cli.output import print_table
from anyclip.errors import UserError

if TYPE_CHECKING:
    from anyclip.testing.exactness import Case


@click.command("doctor")
@click.option("--processes", "-n", type=click.IntRange(1), help="Processes on this machine. Default: 2.")
@click.option("--strategy", type=click.Choice(["ddp", "fsdp"]), multiple=True, help="Default: both. Repeatable.")
@click.option("--quick", is_flag=True, help="Plain towers only, instead of every variant.")
@click.option("--facts", is_flag=True, help="Print what is installed and found; compute nothing.")
@click.option("--verbose", "-v", is_flag=True, help="A line per case.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    processes: int | None, strategy: tuple[str, ...], quick: bool, facts: bool, verbose: bool, as_json: bool
) -> int:
    """Prove that gradients are exact on this machine.

    Trains tiny towers in float64 with several processes, whole batches and micro-batches, complete and missing values,
    a process without rows, and compares loss and gradients with one process and one pass. Under torchrun or another
    launcher that sets RANK and WORLD_SIZE it uses those processes (and their devices): start it as you start a
    training. Exit code 1 when any case is off by more than 1e-10 or a plugin has a problem.
    """
    from anyclip.cli import doctor_facts, doctor_proof

    if doctor_proof.launched() and processes is not None:
        raise UserError("--processes is for one machine.", hint="Under a launcher its own processes are used.")
    found = doctor_facts.facts()
    began = time.perf_counter()
    cases, main = ([], doctor_proof.is_main()) if facts else doctor_proof.prove(processes or 2, strategy, quick=quick)
    if not main:
        return 0
    seconds = time.perf_counter() - began
    wrong = [case for case in cases if not doctor_proof.exact(case)]
    if as_json:
        click.echo(json.dumps(_plain(found, cases, seconds), indent=1))
    else:
        _print_facts(found)
        if cases:
            _print_cases(cases, verbose)
            click.echo(f"\n{_verdict(cases, wrong)} ({seconds:.0f} s)")
    return int(bool(wrong or found["problems"]))


def _print_facts(found: dict[str, Any]) -> None:
    rows = [
        (section, name, str(value)) for section in ("versions", "machine") for name, value in found[section].items()
    ]
    print_table(("About", "Name", "Found"), rows)
    for problem in found["problems"]:
        click.echo(f"{click.style('failed', fg='red')} {problem}")
    click.echo()


def _print_cases(cases: list[Case], verbose: bool) -> None:
    """A row per strategy, loss and variant (per case with `verbose`): the largest relative errors."""
    from anyclip.cli.doctor_proof import exact

    groups: dict[tuple[str, ...], list[Case]] = {}
    for case in cases:
        key: tuple[str, ...] = (f"{case.world} x {case.strategy}", case.loss, case.variant)
        groups.setdefault((*key, case.pattern, str(case.parts)) if verbose else key, []).append(case)
    rows = []
    for key, members in groups.items():
        worst = [max((dict(c.errors).get(name, 0.0) for c in members), default=0.0) for name in _ERRORS]
        status = "ok" if all(exact(c) for c in members) else "failed"
        rows.append((status, *key, *([] if verbose else [str(len(members))]), *(f"{e:.1e}" for e in worst)))
    about = ("Rows present", "Parts") if verbose else ("Cases",)
    print_table(("Status", "Processes", "Loss", "Variant", *about, *(e.capitalize() for e in _ERRORS)), rows)


_ERRORS = ("loss", "grad", "scale", "bias")


def _verdict(cases: list[Case], wrong: list[Case]) -> str:
    largest = f"the largest error is {max(case.worst for case in cases):.1e}"
    if wrong:
        return click.style(f"{len(wrong)} of {len(cases)} cases are wrong, {largest}", fg="red")
    return click.style(f"all {len(cases)} cases are exact, {largest}", fg="green")


def _plain(found: dict[str, Any], cases: list[Case], seconds: float) -> dict[str, Any]:
    from anyclip.cli.doctor_proof import exact

    listed = [
        {
            "processes": c.world,
            "strategy": c.strategy,
            "loss": c.loss,
            "variant": c.variant,
            "rows": c.pattern,
            "parts": c.parts,
            "errors": {name: error if error == error else None for name, error in c.errors},
            "exact": exact(c),
        }
        for c in cases
    ]
    return {**found, "cases": listed, "exact": all(c["exact"] for c in listed), "seconds": round(seconds, 1)}
