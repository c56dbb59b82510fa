"""`anyclip import LAYOUT FILE OUT`: a published checkpoint becomes a model folder."""

from __future__ import annotations

from pathlib import Path

import click

from anyclip.errors import UserError


@click.command("import")
@click.argument("layout")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--name", help="Which published variant it is, where the tensors do not tell (open-clip: a model name).")
@click.option("--option", "-o", "settings", multiple=True, metavar="KEY=VALUE", help="An option of the importer.")
@click.option("--force", is_flag=True, help="Replace OUT when it exists.")
def command(layout: str, file: Path, out: Path, name: str | None, settings: tuple[str, ...], force: bool) -> None:
    """Turn a published checkpoint into a model folder that `anyclip.load` opens.

    LAYOUT names the kind of checkpoint (`anyclip plugins` lists them), FILE is a weights file or a folder, OUT the new
    folder. No code from FILE is run. Every tensor must find its place; otherwise the ones left over are listed.
    """
    if out.exists() and not force:
        raise UserError("already exists.", where=str(out), next=f"anyclip import {layout} {file} {out} --force")
    from anyclip.checkpoint.importing import import_checkpoint_file

    model, config = import_checkpoint_file(layout, file, out, name=name, options=_options(settings))
    counts = [f"{s} ({sum(p.numel() for p in model.tower(s).parameters()):,} parameters)" for s in model.streams]
    scales = [f"scale {o.scale.init:.4f}" for o in config.objectives if o.scale and o.scale.init is not None]
    click.echo(f"{out}: {', '.join(counts)}, joint width {model.dim}{', ' if scales else ''}{', '.join(scales)}")
    click.echo(f'  next: python -c "import anyclip; print(anyclip.load({str(out)!r}))"')


def _options(settings: tuple[str, ...]) -> dict[str, object]:
    """KEY=VALUE pairs; values are YAML, so that numbers and lists need no quoting rules of their own."""
    from ruamel.yaml import YAML, YAMLError

    options: dict[str, object] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UserError(f"{setting!r} is not KEY=VALUE.", where="--option")
        try:
            options[key] = YAML(typ="safe").load(value)
        except YAMLError as error:
            raise UserError(f"the value of {key!r} is not valid YAML: {error}", where="--option") from error
    return options
