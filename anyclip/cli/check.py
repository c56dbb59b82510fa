"""`anyclip check CONFIG`: every mistake of a config at once. Imports no torch."""

from __future__ import annotations

import click

from anyclip.config import check_trainable, dump_config, load_config, named
from anyclip.config.schema import Config


@click.command("check")
@click.argument("config", type=click.Path())
@click.argument("overrides", nargs=-1)
@click.option("--show", is_flag=True, help="Print the resolved config: defaults filled in, overrides applied.")
@click.option("--model-only", is_flag=True, help="Accept a config without data, objectives or steps.")
def command(config: str, overrides: tuple[str, ...], show: bool, model_only: bool) -> None:
    """Check a config without loading torch.

    OVERRIDES are key.path=value, such as train.steps=100 or objectives.0.loss.name=siglip. Every mistake is named
    with its line and the nearest valid choice; the exit code is 2 when there is one.
    """
    loaded = load_config(config, overrides)
    if not model_only:
        check_trainable(loaded, name=config)
    click.echo(dump_config(loaded).rstrip() if show else f"{config}: fine. {summary(loaded)}")


def summary(config: Config) -> str:
    """A config in a few words."""
    towers = [f"{stream} ({tower.name or f'shares {tower.ref}'})" for stream, tower in config.model.towers.items()]
    names = [(o.name or named(o.loss).name, o.pair) for o in config.objectives]
    terms = [f"{name} on {'-'.join(pair)}" if pair else name for name, pair in names]
    if not config.data.train:
        return f"Towers: {', '.join(towers)}. No training data: a model only."
    train = config.train
    length = f"{train.steps} steps" if train.epochs is None else f"{train.epochs:g} epochs"
    return (
        f"Towers: {', '.join(towers)}. Objectives: {', '.join(terms)}. {length}, batches of {config.data.batch_size}."
    )
