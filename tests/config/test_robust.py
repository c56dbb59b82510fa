"""Whatever stands at whatever place of a config: a ConfigError that names that place, never another exception."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from anyclip.config import config_from_dict, dump_config
from anyclip.errors import ConfigError

GARBAGE = [
    None,
    True,
    -1,
    1.5,
    10**30,
    float("nan"),
    "",
    "x#1",
    "[",
    [],
    [[]],
    [1, "a"],
    {},
    {"": 1},
    {"name": None},
    {"ref": "a"},
]
WHOLE = {
    "model": {
        "dim": 8,
        "towers": {
            "a": {
                "name": "toy/mlp",
                "options": {"width": 4},
                "projection": {"name": "mlp", "hidden": 3},
                "freeze": ["x"],
            },
            "b": {"ref": "a", "share_projection": True},
        },
    },
    "objectives": [
        {"pair": ["a", "b"], "loss": {"name": "siglip", "options": {}}, "scale": {"init": 3.0}, "bias": {"share": "s"}},
        {"pair": ["b", "a#1"], "loss": "siglip", "bias": {"share": "s"}, "weight": 0.5},
    ],
    "pair_reduction": "mean",
    "data": {
        "train": [
            {"name": "synthetic", "options": {"size": 9, "streams": {"a": {"missing": 0.1}}}, "fields": {"a": "a"}}
        ],
        "val": ["synthetic"],
        "batch_size": 4,
    },
    "optimizer": {"name": "sgd", "momentum": 0.5, "groups": [{"match": "bias", "lr_scale": 2.0}]},
    "schedule": {"name": "linear", "warmup_steps": 1, "final": 0.1},
    "train": {"steps": 5, "devices": [0, 1], "loggers": ["tensorboard"], "validate_every": 2},
    "eval": [{"name": "retrieval", "pair": ["a", "b"], "options": {"ks": [1, 2]}}],
}


def places(value: Any, key: tuple = ()) -> Iterator[tuple]:
    if key:
        yield key
    for part in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from places(value[part], (*key, part))


def replaced(key: tuple, garbage: Any) -> dict:
    data = copy.deepcopy(WHOLE)
    holder: Any = data
    for part in key[:-1]:
        holder = holder[part]
    holder[key[-1]] = garbage
    return data


def test_the_whole_config_is_fine():
    config = config_from_dict(WHOLE)
    assert "momentum: 0.5" in dump_config(config)


def problems_of(data: dict) -> tuple:
    """What is refused; () when nothing is, and then the config can be written and read again."""
    try:
        config = config_from_dict(data)
    except ConfigError as error:
        return error.problems or ("an error without a problem",)
    config_from_dict(_plain(config))
    return ()


@pytest.mark.parametrize("key", list(places(WHOLE)), ids=lambda key: ".".join(map(str, key)))
def test_garbage_is_refused_or_fine(key):
    found = [problems_of(replaced(key, garbage)) for garbage in GARBAGE]
    assert any(found)  # no place takes everything
    assert all(str(problem).startswith("config: ") and problem.message for problems in found for problem in problems)


def _plain(config) -> dict:
    from anyclip.config.source import parse_source

    source = parse_source(dump_config(config), name="dump")
    assert not source.problems
    return source.data


def strict_mappings() -> list[tuple]:
    """Places whose keys are not names of the user's."""
    found = []
    for key in places(WHOLE):
        holder: Any = WHOLE
        for part in key:
            holder = holder[part]
        if isinstance(holder, dict) and key[-1] not in ("towers", "fields", "streams"):
            found.append(key)
    return found


@pytest.mark.parametrize("key", strict_mappings(), ids=lambda key: ".".join(map(str, key)))
def test_a_key_too_many_is_refused(key):
    with pytest.raises(ConfigError, match="unknown"):
        config_from_dict(replaced((*key, "zzz_not_there"), 3))
