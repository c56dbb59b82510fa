"""`anyclip conformance`: names, exit codes, tables, JSON."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from anyclip.cli.main import run
from anyclip.registry import get_registry
from anyclip.testing.conformance import report

_spec = importlib.util.spec_from_file_location("testing_parts", Path(__file__).with_name("conftest.py"))
parts = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(parts)

CORE_AND_OFFICIAL = ("anyclip", "anyclip-image", "anyclip-text")


def official(kind: str) -> list[str]:
    """Qualified names of the parts of this repository."""
    known = [*CORE_AND_OFFICIAL, *(p.name for p in (Path(__file__).resolve().parents[2] / "plugins").glob("anyclip-*"))]
    return [part.qualified for part in get_registry().parts(kind) if part.distribution in known]


@pytest.mark.parametrize("name", official("tower"))
def test_every_official_tower_conforms(name):
    found = report(get_registry().part("tower", name))
    assert found.ok, {o.check: str(o) for o in found.outcomes if o.status == "failed"}
    assert not [o.check for o in found.outcomes if o.message.startswith("exempt")], "a tiny tower needs no exemption"


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in ("loss", "reader", "modality") for name in official(kind)]
)
def test_every_other_official_part_conforms(kind, name):
    found = report(get_registry().part(kind, name))
    assert found.ok, {o.check: str(o) for o in found.outcomes if o.status == "failed"}


def test_a_part_that_passes(capsys):
    assert run(["conformance", "infonce"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("loss infonce of anyclip: ")
    assert "passed  shares_add_up" in out
    assert "passed  is_light\n" in out


def test_a_fault_gives_exit_code_1_and_its_mend(register, capsys):
    register(parts.loss("LocalMean"))
    assert run(["conformance", "try", "--failed"]) == 1
    out = capsys.readouterr().out
    assert "13 passed, 1 failed, 1 skipped" in out or "failed" in out.splitlines()[0]
    assert "the loss of processes with [3, 0, 4] rows does not add up to that of one process" in out
    assert "shares_add_up: mend: divide by the number of ALL rows" in out
    assert "gives_a_number" not in out


def test_json(register, capsys):
    register(parts.loss("WrongSign"))
    assert run(["conformance", "try", "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["name"], found["distribution"], found["ok"]) == ("loss", "try", "faulty", False)
    bad = {c["check"]: c for c in found["checks"] if c["status"] == "failed"}
    assert bad["prefers_matches"]["mend"] == "check the sign and the diagonal"
    assert all(c["about"] for c in found["checks"])


def test_one_check_with_other_options(capsys):
    assert (
        run(["conformance", "toy/mlp", "--check", "shapes_and_dtypes", "--option", "width=12", "--option", "depth=1"])
        == 0
    )
    assert "pooled [4, 12], tokens [4, 1, 12]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["toy/mpl"], "no part and no package is called 'toy/mpl'. Did you mean toy/mlp?"),
        (["infonce", "siglip", "--option", "tile=3"], "--option is for one part."),
        (["infonce", "--option", "tile"], "--option 'tile' is not KEY=VALUE."),
        (["infonce", "--check", "share_adds_up"], "loss has no check 'share_adds_up'. Did you mean shares_add_up?"),
        (["faulty"], "faulty has a problem: registers nothing."),
    ],
)
def test_mistakes_are_named(arguments, words, register, capsys):
    register()
    get_registry().rows[-1].problems.append("registers nothing")
    assert run(["conformance", *arguments]) == 2
    assert words in capsys.readouterr().err
