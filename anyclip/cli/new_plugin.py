"""`anyclip new-plugin NAME`: the package of a new tower, loss or reader, whose tests pass and whose config trains."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from anyclip.errors import UserError, nearest
from anyclip.registry import get_registry

PREFIX = "anyclip-"
SEEN = "shape, colour, size, position, background"
HEARD = "pitch, loudness, contour, rhythm"  # what the template's renderer shows
NEXT = {
    "tower": ["anyclip conformance {distribution}", "pytest", "anyclip train configs/train.yaml"],
    "loss": ["anyclip conformance {distribution}", "pytest", "anyclip train configs/train.yaml"],
    "reader": ["anyclip conformance {distribution}", "pytest"],
}


@click.command("new-plugin")
@click.argument("name")
@click.option("--modality", metavar="M", help="The tower's modality: an installed one, or a new one that it brings.")
@click.option("--tower", "kind", flag_value="tower", default="tower", help="A tower (default).")
@click.option("--loss", "kind", flag_value="loss", help="A loss.")
@click.option("--reader", "kind", flag_value="reader", help="A reader.")
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), default=".", help="Where the folder goes.")
def command(name: str, modality: str | None, kind: str, into: Path) -> None:
    """Write a new package `anyclip-NAME` that installs, passes its tests and trains at once.

    A tower is registered as M/NAME. Where nothing installed brings the modality M, the package brings it too: file
    endings, decoding, preview, prompts and synthetic scenes.
    """
    name = name.removeprefix(PREFIX)
    layers = [kind, "shared"]
    if kind == "tower":
        layers += _modality_layers(modality)
    elif modality is not None:
        raise UserError(f"a {kind} has no modality.", hint="Leave --modality out.")
    _check_names(name, modality, kind)
    target = into / f"{PREFIX}{name}"
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError("is there already.", where=str(target), hint="Choose another NAME, or --into FOLDER.")
    words = _words(name, modality, new="modality" in layers)
    written = [_write(source, target, relative, words) for source, relative in _files(layers)]
    _tell(target, written, kind, modality if "modality" in layers else None, f"{PREFIX}{name}")


def _modality_layers(modality: str | None) -> list[str]:
    known = get_registry().names("modality")
    if modality is None:
        raise UserError(
            "a tower has a modality: --modality M.",
            hint=f"Installed: {', '.join(known)}; another name makes a new one.",
        )
    if modality not in known:
        return ["modality"]
    if not get_registry().modality(modality).decode:
        raise UserError(f"the modality {modality!r} says nothing of decoding; the template needs its `decode`.")
    return []


def _check_names(name: str, modality: str | None, kind: str) -> None:
    """Raises UserError for names that cannot be registered or are taken."""
    for label, word in (("NAME", name), ("--modality", modality or "m")):
        if not re.fullmatch(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*", word):
            hint = "Lower-case letters, digits and single hyphens, beginning with a letter."
            raise UserError(f"{label} {word!r} cannot be a package's name.", hint=hint)
    part = f"{modality}/{name}" if kind == "tower" else name
    if part in get_registry().names(kind):
        raise UserError(f"there is a {kind} {part!r} already.", hint="Choose another NAME.", next="anyclip plugins")


def _words(name: str, modality: str | None, *, new: bool) -> dict[str, str]:
    """Word of the template -> word of the copy; longer words first."""
    module = f"{PREFIX}{name}".replace("-", "_")
    camel = "".join(part.capitalize() for part in re.split("[-_]", name))
    return {
        "anyclip-myplugin": f"{PREFIX}{name}",
        "anyclip_myplugin": module,
        "myplugin": name,
        "mymodality": modality or "",
        "mytower": name,
        "MyTower": camel,
        "myloss": name,
        "MyLoss": camel,
        "myreader": name,
        "MyReader": camel,
        "FACTORS": HEARD if new else SEEN,
    }


def template_folder() -> Path:
    """The template: inside the installed package, or in the source tree. Raises UserError when it is in neither."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_template", package.parent / "plugins" / "template"):
        if folder.is_dir():
            return folder
    raise UserError("this installation lacks the template.", next="pip install --force-reinstall anyclip")


def _files(layers: list[str]) -> Iterator[tuple[Path, Path]]:
    """(source, path in the copy) of each file; a later layer replaces an earlier one's."""
    chosen: dict[Path, Path] = {}
    for layer in layers:
        folder = template_folder() / layer
        for source in sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
            chosen[source.relative_to(folder)] = source
    for relative in sorted(chosen):
        yield chosen[relative], relative


def _write(source: Path, target: Path, relative: Path, words: dict[str, str]) -> str:
    def replaced(text: str) -> str:
        for word, new in words.items():
            text = text.replace(word, new)
        return text

    path = target / replaced(str(relative))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(replaced(source.read_text(encoding="utf-8")), encoding="utf-8")
    return str(path.relative_to(target))


def _tell(target: Path, written: list[str], kind: str, brought: str | None, distribution: str) -> None:
    click.echo(f"{target}: {len(written)} files")
    for path in written:
        click.echo(f"  {path}")
    if brought:
        known = nearest(brought, get_registry().names("modality"))
        close = f" (an installed one is called {known}: was that meant?)" if known else ""
        click.echo(f"It brings the modality {brought}{close}.")
    click.echo("next:")
    for line in [f"cd {target}", "pip install -e .", *NEXT[kind]]:
        click.echo(f"  {line.format(distribution=distribution)}")
