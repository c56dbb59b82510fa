"""Load, check and write configs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

from anyclip.config.check import check_config, training_issues
from anyclip.config.normalize import normalize
from anyclip.config.overrides import apply_overrides
from anyclip.config.schema import Config
from anyclip.config.source import Key, Source, read_source
from anyclip.config.validate import check_dataclass
from anyclip.errors import ConfigError, Problem


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a YAML config with `key.path=value` overrides. Raises ConfigError with every mistake at once.

    `config.base` is the folder of the file unless the file says otherwise. A config without `data.train` describes a
    model only; `check_trainable` refuses it.
    """
    source = read_source(path)
    apply_overrides(source, [overrides] if isinstance(overrides, str) else overrides)
    config = _build(source)
    folder = Path(path).resolve().parent
    config.base = str(folder / config.base) if config.base else str(folder)
    return config


def config_from_dict(data: dict[str, Any], *, name: str = "config") -> Config:
    """A config from plain values, checked like a file. Raises ConfigError; `name` is what its messages call it."""
    if not isinstance(data, dict):
        raise ConfigError([Problem(name, "", f"must be a mapping, not {type(data).__name__}.")])
    return _build(Source(data, name))


def _build(source: Source) -> Config:
    data = normalize(source.data)
    checked = check_dataclass(Config, data, salvage=True)
    issues = list(checked.issues)
    if checked.value is not None:
        hidden = [*checked.dropped]
        for issue in check_config(checked.value, data):
            keys = (issue.key, *issue.about)
            # a check that reads a value which was refused above would speak of its default
            if not any(key[: len(gone)] == gone or gone[: len(key)] == key for key in keys for gone in hidden):
                issues.append(issue)
    problems = source.problems + [source.problem(issue.key, issue.message) for issue in issues]
    if problems:
        raise ConfigError(_in_order(problems))
    assert checked.value is not None, "nothing was refused, so it was built"
    return checked.value


def _in_order(problems: list[Problem]) -> list[Problem]:
    """By line, overrides last; each once."""

    def line(problem: Problem) -> tuple[bool, int]:
        _, _, number = problem.where.rpartition(":")
        return (problem.where.startswith("override "), int(number) if number.isdecimal() else 0)

    return sorted(dict.fromkeys(problems), key=line)


def check_trainable(config: Config, *, name: str = "config") -> None:
    """Raise ConfigError naming everything that a training run needs and the config lacks."""
    problems = [Problem(name, ".".join(map(str, issue.key)), issue.message) for issue in training_issues(config)]
    if problems:
        raise ConfigError(problems)


def dump_config(config: Config) -> str:
    """The config as YAML with every default that has an effect spelt out; `load_config` reads it back equal."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.version = None
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 120
    out = StringIO()
    values = asdict(config)
    for issue in check_config(config, values):
        if issue.idle:  # `load_config` would refuse the setting
            _remove(values, issue.key)
    yaml.dump(values, out)
    return out.getvalue()


def _remove(values: Any, key: Key) -> None:
    for part in key[:-1]:
        values = values[part]
    values.pop(key[-1], None)
