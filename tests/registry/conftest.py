"""Real little plugins: a module and a dist-info folder with metadata and an entry point."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

GOOD = """
from anyclip.hookspecs import hookimpl
from anyclip.specs import LossSpec

@hookimpl
def anyclip_losses():
    yield LossSpec(
        name="{name}",
        target="anyclip.losses.infonce:InfoNCE",
        options="anyclip.losses.options:InfoNCEOptions",
        summary="a loss",
    )
"""


class Shelf:
    """A folder on the import path where plugins get installed."""

    def __init__(self, folder: Path):
        self.folder = folder

    def install(self, dist: str, source: str, *, version: str = "1.0", headers: str = "", points: str | None = None):
        """Install distribution `dist` whose one module has `source`; `headers` are more lines of its METADATA."""
        module = dist.replace("-", "_")
        (self.folder / f"{module}.py").write_text(textwrap.dedent(source))
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir(parents=True)
        meta = f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n{headers}"
        (info / "METADATA").write_text(meta.rstrip() + "\n")
        default = f"[anyclip]\n{dist.removeprefix('anyclip-')} = {module}\n"
        (info / "entry_points.txt").write_text(default if points is None else points)
        (info / "RECORD").write_text("")
        return info

    def install_good(self, dist: str = "anyclip-good", name: str = "good") -> None:
        self.install(dist, GOOD.format(name=name))


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delenv("ANYCLIP_PLUGINS", raising=False)
    yield Shelf(folder)
    for name in [n for n, m in sys.modules.items() if str(tmp_path) in (getattr(m, "__file__", None) or "")]:
        del sys.modules[name]
