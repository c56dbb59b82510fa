"""Parts that are sound or faulty on purpose, registered without an installed package."""

from __future__ import annotations

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
