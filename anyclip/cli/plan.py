"""`anyclip plan CONFIG`: what a run would be, before it costs anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from anyclip.cli.output import print_table
from anyclip.config import Config, check_trainable, load_config

if TYPE_CHECKING:
    from anyclip.cli.planning import Memory, Parameters
    from anyclip.data import TrainData
    from anyclip.model import JointModel
    from anyclip.objectives import Objectives


@click.command("plan")
@click.argument("config", type=click.Path())
@click.argument("overrides", nargs=-1)
def command(config: str, overrides: tuple[str, ...]) -> None:
    """Show what a run would be: parameters, memory, negatives, steps.

    Builds the model without its weights and opens the datasets; trains nothing. OVERRIDES are key.path=value, such as
    train.steps=100.
    """
    loaded = load_config(config, overrides)
    check_trainable(loaded, name=config)
    from anyclip.cli.planning import count_parameters, count_processes, estimate_memory, plan_model

    model, objectives = plan_model(loaded)
    processes = count_processes(loaded)
    _print_parameters(loaded, count_parameters(model, objectives))
    _print_memory(loaded, estimate_memory(loaded, model, objectives, processes), processes)
    with _open_data(loaded, model, objectives) as data:
        _print_steps(loaded, data, processes)
        _print_negatives(loaded, objectives, data)
    _print_exactness(loaded, model, objectives, processes)


def _open_data(config: Config, model: JointModel, objectives: Objectives) -> TrainData:
    from anyclip.data import StreamInfo, TrainData

    streams = {s: StreamInfo(model.processor(s), model.modality(s)) for s in objectives.streams}
    fields = objectives.fields
    return TrainData(config.data, streams, seed=config.train.seed, extra_fields=fields, base=config.base)


def _print_parameters(config: Config, rows: list[Parameters]) -> None:
    click.echo(f"Parameters (joint width {config.model.dim})")
    table: list[tuple[str, ...]] = [
        (r.part, r.name, str(r.width or ""), f"{r.total:,}", f"{r.trainable:,}", f"{r.frozen:,}") for r in rows
    ]
    sums = [sum(getattr(row, field) for row in rows) for field in ("total", "trainable", "frozen")]
    table.append(("all", "", "", *(f"{n:,}" for n in sums)))
    print_table(("part", "class", "width", "parameters", "trainable", "frozen"), table, right=(2, 3, 4, 5))
    for row in rows:
        if row.shared:
            click.echo(f"{row.part} shares {row.shared:,} parameters with the parts above it")


def _print_memory(config: Config, memory: Memory, processes: int) -> None:
    click.echo(f"\nMemory per process: {size_text(memory.total)} before activations")
    state = f"{config.optimizer.name} state"
    parts = {"weights": memory.weights, "gradients": memory.gradients, state: memory.optimizer}
    if memory.average:
        parts["average (ema)"] = memory.average
    click.echo("  " + ", ".join(f"{name} {size_text(size)}" for name, size in parts.items()))
    if memory.sharded > 1:
        click.echo(f"  sharded over {memory.sharded} processes; a layer is whole while it runs")
    rows = -(-config.data.batch_size // processes)
    cut = config.train.micro_batch
    at_a_time = f"{min(rows, cut)} rows at a time (micro_batch)" if cut else f"{rows} rows at a time"
    click.echo(f"  Activations come on top: they grow with the rows that a process encodes, here {at_a_time}.")


def _print_steps(config: Config, data: TrainData, processes: int) -> None:
    from anyclip.trainer.schedule import total_steps

    steps = total_steps(config, data.steps_per_epoch)
    many = "1 process" if processes == 1 else f"{processes} processes"
    auto = " (devices: auto, on this machine)" if config.train.devices == "auto" else ""
    click.echo(f"\nSteps: {steps:,}, batches of {config.data.batch_size:,} rows in all, {many}{auto}")
    passes, dropped = data.passes(steps), data.dropped
    table = []
    for name, size in data.sizes.items():
        epochs = f"{passes[name]:.2f}" if name in passes else ""
        table.append((name, f"{size:,}", epochs, str(dropped.get(name, 0))))
    print_table(("dataset", "rows", "epochs", "rows left out per epoch"), table, right=(1, 2, 3))


def _print_negatives(config: Config, objectives: Objectives, data: TrainData) -> None:
    from anyclip.cli.planning import count_negatives

    click.echo("\nNegatives of a row (fewer where a row lacks a stream)")
    table = []
    for found in count_negatives(config, objectives, data):
        table.append((" - ".join(found.pair), f"{found.per_row:,.0f}", f"{found.share:.0%}"))
    print_table(("pair", "negatives", "of the steps"), table, right=(1, 2))


def _print_exactness(config: Config, model: JointModel, objectives: Objectives, processes: int) -> None:
    from anyclip.cli.planning import inexact_parts

    found = inexact_parts(model, objectives)
    whole = processes == 1 and config.train.micro_batch is None
    if not found:
        click.echo("\nThe same global batch gives the same gradient under any number of processes and any micro_batch.")
        return
    now = "one process, one pass: no effect in this run" if whole else "in effect in this run"
    click.echo(f"\nNot the same under another number of processes or micro_batch ({now}):")
    for line in found:
        click.echo(f"  {line}")


def size_text(size: int) -> str:
    """Bytes in words; 1 MB is 10**6 bytes."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:,.2f} {unit}"
    return f"{size / 1e3:,.1f} kB"
