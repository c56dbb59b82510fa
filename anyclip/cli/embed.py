"""`anyclip embed RUN FILES...`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from anyclip.errors import UserError

if TYPE_CHECKING:
    from anyclip.api import Model


@click.command("embed")
@click.argument("model", metavar="RUN")
@click.argument("files", nargs=-1)
@click.option("-o", "--out", required=True, type=click.Path(dir_okay=False), help="The Parquet table to write.")
@click.option("--modality", help="Take every file as this modality, instead of deciding by its suffix.")
@click.option("--stream", help="Take every file as this stream of the model.")
@click.option(
    "--manifest", type=click.Path(exists=True, dir_okay=False), help="Embed the rows of a CSV, JSONL or Parquet table."
)
@click.option(
    "--field", "fields", multiple=True, metavar="STREAM=COLUMN", help="With --manifest: the column of a stream."
)
@click.option("--data", type=click.Choice(["train", "val"]), help="Embed the datasets of the run's config.")
@click.option("--dim", type=click.IntRange(min=1), help="Keep the first so many numbers of each vector.")
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=64, show_default=True, help="Values encoded at a time."
)
@click.option("--workers", type=click.IntRange(min=0), default=2, show_default=True, help="Threads that decode ahead.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, or auto.")
@click.option("--skip-bad", is_flag=True, help="End with code 0 even when some values could not be embedded.")
@click.option("--quiet", is_flag=True, help="Show nothing but errors.")
def command(model: str, files: tuple[str, ...], out: str, skip_bad: bool, quiet: bool, **given: Any) -> int:
    """Embed files into a Parquet table: id, modality, stream, value, vector.

    RUN is a run, checkpoint or model folder. FILES are files, folders and glob patterns; a .txt file holds one text a
    line. What cannot be embedded is named on stderr with the reason, and the code is 1.
    """
    from anyclip.api import load
    from anyclip.api.embedding import write_table

    if not files and not given["manifest"] and not given["data"]:
        raise UserError(
            "nothing to embed.", hint="Name files, --manifest TABLE or --data val.", next="anyclip embed --help"
        )
    opened = load(model, device=given["device"])
    if given["dim"] is not None and given["dim"] > opened.dim:
        raise UserError(f"--dim {given['dim']} is more than the model's width {opened.dim}.")
    entries = _entries(opened, files, given)
    options = {"dim": given["dim"], "batch_size": given["batch_size"], "workers": given["workers"]}
    written, failed = write_table(opened, entries, out, progress=not quiet, **options)
    for name, reason in failed:
        click.echo(reason if reason.startswith(f"{name}: ") else f"{name}: {reason}", err=True)
    if not quiet:
        click.echo(f"{written} vectors of {given['dim'] or opened.dim} numbers in {out}", err=True)
    if failed:
        click.echo(f"{len(failed)} of {written + len(failed)} values could not be embedded", err=True)
    return 1 if failed and not skip_bad else 0


def _entries(model: Model, files: tuple[str, ...], given: dict[str, Any]) -> Iterator[Any]:
    from anyclip.api.embedding import source_entries
    from anyclip.api.files import find_entries
    from anyclip.config.schema import SourceConfig

    parts: list[Iterator[Any]] = []
    if files:
        parts.append(find_entries(files, model.modalities, modality=given["modality"], stream=given["stream"]))
    if given["manifest"]:
        config = SourceConfig(name="manifest", options={"path": given["manifest"]}, fields=_fields(given["fields"]))
        parts.append(source_entries(model, config))
    if given["data"]:
        sources = getattr(model.config.data, given["data"])
        if not sources:
            raise UserError(f"the run's config names no data.{given['data']}.")
        parts += [source_entries(model, source, base=model.config.base) for source in sources]
    return chain(*parts)


def _fields(pairs: tuple[str, ...]) -> dict[str, str]:
    fields = {}
    for pair in pairs:
        stream, separator, column = pair.partition("=")
        if not separator or not stream or not column:
            raise UserError(f"--field {pair!r} is not STREAM=COLUMN.")
        fields[stream] = column
    return fields
