"""`anyclip train CONFIG`."""

from __future__ import annotations

from pathlib import Path

import click

from anyclip.config import Config, check_trainable, load_config
from anyclip.errors import UserError


@click.command("train")
@click.argument("config", type=click.Path())
@click.argument("overrides", nargs=-1)
@click.option("--resume", is_flag=True, help="Go on in the run folder from its latest checkpoint.")
@click.option("--overwrite", is_flag=True, help="Delete a run that is in the folder and start anew.")
@click.option("--quiet", is_flag=True, help="Show nothing but errors.")
@click.option("--json", "as_json", is_flag=True, help="Print every record of metrics.jsonl to stdout, as JSON lines.")
def command(config: str, overrides: tuple[str, ...], resume: bool, overwrite: bool, quiet: bool, as_json: bool) -> int:
    """Train a model.

    CONFIG is a YAML file, or a run folder together with --resume. OVERRIDES are key.path=value, such as
    train.steps=100. Ctrl-C finishes the step, writes a checkpoint and ends with code 130 (143 after SIGTERM); a second
    Ctrl-C ends at once.
    """
    if resume and overwrite:
        raise UserError("--resume goes on with a run, --overwrite deletes it: give one of them.")
    loaded = prepare(config, overrides)
    from anyclip.trainer import Stopped, train
    from anyclip.trainer.agree import ToldElsewhere

    try:
        train(loaded, resume=resume, overwrite=overwrite, quiet=quiet, json=as_json)
    except Stopped as stopped:
        if stopped.told:
            click.echo(f"{stopped}\n  next: anyclip train {loaded.train.out} --resume", err=True)
            return stopped.code
    except ToldElsewhere:  # another code than 0 would make the launcher kill the process that is telling it
        pass
    return 0


def prepare(config: str, overrides: tuple[str, ...]) -> Config:
    """The checked config, with `train.out` filled in: the run folder that the file lies in, else `runs/<its name>`."""
    path = Path(config)
    if path.is_dir() and (path / "config.yaml").is_file():
        path = path / "config.yaml"
    loaded = load_config(path, overrides)
    check_trainable(loaded, name=str(path))
    if not any(override.split("=", 1)[0] == "train.out" for override in overrides):
        if (path.parent / "checkpoints").is_dir():
            loaded.train.out = str(path.parent)
        elif loaded.train.out is None:
            loaded.train.out = str(Path("runs") / path.stem)
    return loaded
