"""Parts that are sound or faulty on purpose, registered without an installed package."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from anyclip.registry import Part, PluginRow, Registry, get_registry, use_registry
from anyclip.specs import LossSpec, ModalitySpec, ReaderSpec, Spec, TowerSpec

PARTS = Path(__file__).parent / "parts"


def series(n: int) -> list[np.ndarray]:
    """n arrays [T, 3] of different lengths."""
    rng = np.random.default_rng(0)
    return [rng.standard_normal((4 + 2 * i, 3)).astype(np.float32) for i in range(n)]


@pytest.fixture(autouse=True)
def _parts_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PARTS))


@pytest.fixture
def register() -> Iterator:
    """`register(spec, ...)`: a registry with these parts beside the installed ones, until the test ends."""
    contexts = []

    def add(*specs: Spec) -> None:
        row = PluginRow("faulty", "faulty", "1.0", parts=[Part(spec, "faulty", "1.0") for spec in specs])
        context = use_registry(Registry([*get_registry().rows, row]))
        context.__enter__()
        contexts.append(context)

    yield add
    for context in reversed(contexts):
        context.__exit__(None, None, None)


def tower(name: str, *, options: str = "faulty_options:Options", **more) -> list[Spec]:
    target = f"faulty_towers:{name}"
    modality = ModalitySpec(name="series", summary="Short series")
    return [modality, TowerSpec(name="series/try", target=target, options=options, summary="A try", **more)]


def loss(name: str, **more) -> LossSpec:
    return LossSpec(name="try", target=f"faulty_losses:{name}", summary="A try", **more)


def reader(name: str) -> ReaderSpec:
    return ReaderSpec(
        name="try",
        target=f"faulty_readers:{name}",
        options="faulty_reader_options:Options",
        summary="A try",
        example="faulty_readers:example",
    )


class Outside:
    """A virtual environment of an outside author: what is installed here, and packages of its own.

    `pip install` works offline there: nothing is built in isolation and no requirement is fetched.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
        self.python = folder / "bin" / "python"
        inside = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
        parent = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
        (Path(inside) / "parent.pth").write_text(parent)
        offline = 'if [ "$1" = install ]; then set -- "$@" -q --no-build-isolation --no-deps --no-index; fi'
        for name, before in (("pip", offline), ("pytest", ""), ("anyclip", "")):
            script = folder / "bin" / name
            script.write_text(f'#!/bin/sh\n{before}\nexec "{self.python}" -m {name} "$@"\n')
            script.chmod(0o755)

    def run(self, command: str, *, cwd: Path, code: int = 0, errors: bool = False) -> str:
        """Run a shell command as the author would; what it prints. Fails with that when the exit code is another.

        errors: stderr too.
        """
        kept = {k: v for k, v in os.environ.items() if k not in ("ANYCLIP_PLUGINS", "PYTHONPATH", "PYTEST_ADDOPTS")}
        more = {"PATH": f"{self.folder / 'bin'}:{kept['PATH']}", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        more |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            ["sh", "-ec", command], cwd=cwd, env={**kept, **more}, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, f"$ {command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout + (done.stderr if errors else "")


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Outside:
    return Outside(tmp_path_factory.mktemp("outside") / "venv")
