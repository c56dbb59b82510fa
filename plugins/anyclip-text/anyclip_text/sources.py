"""Where a model or tokenizer comes from: a folder, a hub id, or a folder inside an installed Python package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from anyclip.errors import UserError

PACKAGE = "package:"


def locate(source: str, *, key: str) -> str:
    """A local folder as an absolute path, or a hub id unchanged.

    `package:NAME/FOLDER` is a folder inside an installed Python package. key: the option, for errors.
    Raises UserError when a package or folder is not there.
    """
    if source.startswith(PACKAGE):
        return str(_in_package(source, key))
    folder = Path(source).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    looks_local = source.startswith((".", "/", "~")) or source.count("/") > 1 or folder.exists()
    if looks_local:
        what = "is a file, not a folder" if folder.exists() else "is not there"
        raise UserError(f"the folder {source!r} {what}.", where=f"option {key}", hint=_siblings(folder))
    return source


def is_local(source: str) -> bool:
    return Path(source).is_dir()


def _in_package(source: str, key: str) -> Path:
    name, _, inside = source[len(PACKAGE) :].partition("/")
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise UserError(
            f"the Python package {name!r} is not installed.",
            where=f"option {key}",
            next=f"pip install {name.replace('_', '-')}",
        )
    roots = [Path(root) for root in spec.submodule_search_locations or ()]
    for root in roots:
        if (root / inside).is_dir():
            return root / inside
    folders = sorted({str(f.parent.relative_to(root)) for root in roots for f in root.rglob("config.json")})
    hint = f"Folders with a config.json: {', '.join(folders)}." if folders else "No folder of it holds a config.json."
    raise UserError(f"the package {name!r} has no folder {inside!r}.", where=f"option {key}", hint=hint)


def _siblings(folder: Path) -> str | None:
    if not folder.parent.is_dir():
        return None
    found = sorted(path.name for path in folder.parent.iterdir() if path.is_dir())[:8]
    return f"{folder.parent} holds {', '.join(found)}." if found else None
