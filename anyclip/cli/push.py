"""`anyclip push RUN hf://OWNER/NAME`."""

from __future__ import annotations

from pathlib import Path

import click

from anyclip.errors import UserError


@click.command("push")
@click.argument("model", metavar="RUN")
@click.argument("address", metavar="hf://OWNER/NAME")
@click.option("--public", is_flag=True, help="A repository that everybody sees; only used when it is made.")
@click.option("-m", "--message", help="Message of the commit.")
@click.option("--dry-run", type=click.Path(path_type=Path), metavar="FOLDER", help="Write the files there, send none.")
def command(model: str, address: str, public: bool, message: str | None, dry_run: Path | None) -> None:
    """Upload a model with its model card to the Hugging Face hub.

    RUN is a run, checkpoint or model folder. The weights, the config without the data's paths, tokenizers and a card
    written from the run's evaluations are sent; `anyclip.load("hf://OWNER/NAME")` opens it anywhere. Log in first:
    hf auth login.
    """
    from anyclip.api import load
    from anyclip.api.publish import push, write_published
    from anyclip.checkpoint.hub import HubAddress

    where = HubAddress.parse(address)
    if dry_run is not None and dry_run.exists():
        raise UserError("already exists.", where=str(dry_run), hint="Name a new folder.")
    opened = load(model)
    if dry_run is not None:
        folder = write_published(opened, dry_run, name=str(where))
        size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        click.echo(f"{folder}: {size / 1e6:,.1f} MB as {where} would hold it; nothing was sent")
        return
    click.echo(push(opened, address, private=not public, message=message))
    click.echo(f'  next: python -c "import anyclip; print(anyclip.load({str(where)!r}))"')
