"""`anyclip export RUN OUT`."""

from __future__ import annotations

from pathlib import Path

import click

from anyclip.errors import UserError

_BOUND = 1e-4  # embeddings have unit length; float32 programs agree to about 1e-6


@click.command("export")
@click.argument("model", metavar="RUN")
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--stream", "streams", multiple=True, help="Only this stream; may be given several times.")
@click.option(
    "--format", type=click.Choice(["torch", "onnx"]), default="torch", show_default=True, help="What to write."
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Fix the batch size. Default: any size.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
def command(model: str, out: Path, streams: tuple[str, ...], format: str, batch_size: int | None, force: bool) -> int:
    """Write each stream of RUN into the folder OUT as a program: inputs -> unit-length embeddings.

    The program takes what the stream's processor makes of values, and holds the weights. It is loaded again and
    compared with the model on example values; the largest difference is printed. The code is 1 when one is too large
    or a stream cannot be exported.
    """
    from anyclip.api import load
    from anyclip.api.exporting import SUFFIX, export_stream

    opened = load(model)
    chosen = [opened.stream(s) for s in streams] or opened.streams
    paths = {s: out / f"{s}{SUFFIX[format]}" for s in chosen}
    there = [str(p) for p in paths.values() if p.exists()]
    if there and not force:
        raise UserError("already exists.", where=there[0], hint="Say --force to replace it.")
    failed = 0
    for stream, path in paths.items():
        try:
            found = export_stream(opened, stream, path, format=format, batch=batch_size)  # type: ignore[arg-type]
        except UserError as error:
            click.echo(f"{stream}: {error}", err=True)
            failed += 1
            continue
        failed += found.largest_difference > _BOUND
        shapes = ", ".join(f"{name} {shape}" for name, shape in found.inputs.items())
        size = "" if batch_size is None else f", batch size {batch_size} only"
        click.echo(f"{path}: largest difference {found.largest_difference:.1e} (inputs {shapes}{size})")
    return int(failed > 0)
