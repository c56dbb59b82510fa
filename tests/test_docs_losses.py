"""Every recipe of docs/losses.md is a config that passes the checks, and what needs no token tower is built."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from anyclip.config import config_from_dict
from anyclip.model import build_model
from anyclip.objectives import build_objectives
from anyclip.objectives.options import NearestNeighbourOptions
from anyclip.registry import get_registry

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "losses.md").read_text()
RECIPES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
NEEDS_TOKENS = {"captioning", "masked_modelling"}


def streams(entry: dict) -> list[str]:
    options = entry.get("options", {})
    lists = [options.get(k, []) for k in ("streams", "anchors", "keys", "teacher_streams")]
    single = [options["stream"]] if "stream" in options else []
    named = [*entry.get("pair", []), *single, *(name for names in lists for name in names)]
    return [name.partition("#")[0] for name in named]


@pytest.mark.parametrize("text", RECIPES, ids=lambda text: text.splitlines()[0].strip("# ")[:40])
def test_recipes_are_configs(text: str):
    data = YAML(typ="safe").load(text)
    names = dict.fromkeys(name for entry in data["objectives"] for name in streams(entry))
    frozen = {name: {"freeze": True} for name in names if name.startswith("teacher_")}
    towers = {name: {"name": "toy/mlp", "options": {"size": 4, "width": 6}, **frozen.get(name, {})} for name in names}
    config = config_from_dict({"model": {"dim": 512, "towers": towers}, **data})
    for objective in config.objectives:
        if objective.name == "nearest_neighbour":
            objective.options.setdefault("size", 8)
            assert NearestNeighbourOptions().size == 65536
    config.objectives = [o for o in config.objectives if o.name not in NEEDS_TOKENS]
    assert len(build_objectives(config, build_model(config.model))) == len(config.objectives)


def test_the_page_names_every_part():
    registry = get_registry()
    own = [
        p for kind in ("loss", "similarity", "objective") for p in registry.parts(kind) if p.distribution == "anyclip"
    ]
    missing = [p.spec.name for p in own if f"`{p.spec.name}`" not in PAGE]
    assert own
    assert not missing
