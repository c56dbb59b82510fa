"""A config that is fine, and the report of one that is not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from anyclip.config import Config, load_config
from anyclip.errors import ConfigError
from anyclip.registry import Part, PluginRow, Registry, get_registry, use_registry
from anyclip.specs import LoggerSpec, ObjectiveSpec, TowerSpec

FINE = """\
model:
  dim: 16
  towers:
    a: {name: toy/mlp, options: {width: 8}, projection: mlp}
    b: toy/mlp
objectives:
  - pair: [a, b]
    loss: {name: infonce, options: {label_smoothing: 0.1}}
data:
  train:
    - {name: synthetic, options: {size: 64}}
  val:
    - {name: synthetic, options: {size: 16, split: val}}
  batch_size: 8
optimizer: {name: adamw, lr: 1e-3}
schedule: {name: cosine, warmup_steps: 2}
train: {steps: 10, validate_every: 5}
eval:
  - {name: retrieval, pair: [a, b]}
"""


class Writer:
    """Writes a config file, changed by (old, new) replacements, and loads it."""

    def __init__(self, folder: Path):
        self.path = folder / "run.yaml"

    def write(self, *changes: tuple[str, str], text: str = FINE) -> Path:
        for old, new in changes:
            assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the config"
            text = text.replace(old, new)
        self.path.write_text(text)
        return self.path

    def load(self, *changes: tuple[str, str], text: str = FINE, overrides: tuple[str, ...] = ()) -> Config:
        return load_config(self.write(*changes, text=text), overrides)

    def report(self, *changes: tuple[str, str], text: str = FINE, overrides: tuple[str, ...] = ()) -> list[str]:
        """The problems of a changed config, without the folder."""
        try:
            self.load(*changes, text=text, overrides=overrides)
        except ConfigError as error:
            return [str(p).replace(f"{self.path.parent}/", "") for p in error.problems]
        return []


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


OPTIONS = """\
from dataclasses import dataclass, field
from anyclip.specs import TowerPart, TowerRef

@dataclass(kw_only=True)
class Joined:
    frame: TowerRef | None = None
    more: dict[str, TowerRef] = field(default_factory=dict)
    inner: TowerPart | None = None

@dataclass(kw_only=True)
class Probe:
    stream: str = "a"
    label: str = "label"

@dataclass(kw_only=True)
class Related:
    low: int = 0
    high: int = 1

    def __post_init__(self):
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) is above high ({self.high})")
"""


@pytest.fixture
def more_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The installed parts, and some of the kinds that the core has none of."""
    (tmp_path / "more_options.py").write_text(OPTIONS)
    monkeypatch.syspath_prepend(str(tmp_path))
    target = "a_module:Thing"
    specs = [
        TowerSpec(name="toy/joined", target=target, options="more_options:Joined", summary=""),
        TowerSpec(name="toy/related", target=target, options="more_options:Related", summary=""),
        ObjectiveSpec(name="probe", target=target, options="more_options:Probe", summary=""),
        ObjectiveSpec(name="again", target=target, options="more_options:Probe", summary="", cacheable=False),
        LoggerSpec(name="needy", target=target, summary="", requires=("not_there",)),
        LoggerSpec(name="mine", target=target, summary=""),
    ]
    row = PluginRow("mine", "anyclip-mine", "1.0", parts=[Part(spec, "anyclip-mine", "1.0") for spec in specs])
    with use_registry(Registry([*get_registry().rows, row])):
        yield
    sys.modules.pop("more_options", None)
