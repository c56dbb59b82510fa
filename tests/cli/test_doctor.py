"""`anyclip doctor`: what it prints, and that a wrong case is told."""

from __future__ import annotations

import json

import pytest

from anyclip.cli import doctor_proof
from anyclip.cli.main import run
from anyclip.testing import exactness
from anyclip.testing.exactness import Case


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def test_one_process_is_exact(capsys):
    assert run(["doctor", "-n", "1", "--quick"]) == 0
    out = capsys.readouterr().out
    assert "all 16 cases are exact" in out
    assert "1 x single" in out
    assert "torch" in out
    assert "devices" in out


def test_facts_compute_nothing(capsys, monkeypatch):
    monkeypatch.setattr(doctor_proof, "prove", lambda *_, **__: pytest.fail("computed"))
    assert run(["doctor", "--facts", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cases"] == []
    assert found["versions"]["anyclip"]
    assert "gloo" in found["machine"]["backends"]


def test_a_wrong_case_is_told(capsys, monkeypatch):
    cases = [
        Case("ddp", "infonce", "plain", "some", 3, 2, (("loss", 0.0), ("grad", 1e-3))),
        Case("fsdp", "siglip", "plain", "some", 1, 2, (("loss", float("nan")),)),
        Case("fsdp", "infonce", "plain", "all", 1, 2, (("loss", 1e-16),)),
    ]
    monkeypatch.setattr(exactness, "compare", lambda *_, **__: iter(cases[2:]))
    monkeypatch.setattr(exactness, "spawn", lambda *_, **__: cases[:2])
    assert run(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "2 of 3 cases are wrong" in out
    assert [line.split()[0] for line in out.splitlines() if " x " in line] == ["ok", "failed", "failed"]
    assert run(["doctor", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [case["exact"] for case in found["cases"]] == [True, False, False]
    assert found["exact"] is False


def test_processes_that_fail_give_their_reason(capsys, monkeypatch):
    def failing(*_, **__):
        raise RuntimeError("process 1 of 2:\nno route to host")

    monkeypatch.setattr(exactness, "compare", lambda *_, **__: iter([]))
    monkeypatch.setattr(exactness, "spawn", failing)
    assert run(["doctor"]) == 2
    assert "no route to host" in capsys.readouterr().err


def test_under_a_launcher_its_processes_are_used(capsys, monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "x", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert run(["doctor", "-n", "2"]) == 2
    assert "Under a launcher its own processes are used" in capsys.readouterr().err
    monkeypatch.setattr(doctor_proof, "_on_launched", lambda strategies, variants: [])
    monkeypatch.setenv("RANK", "1")
    assert run(["doctor"]) == 0
    assert capsys.readouterr().out == ""
