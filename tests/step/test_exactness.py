"""The same global batch in 1, 2 and 4 processes, DDP and FSDP2, whole or in parts: same loss, same gradients.

`pytest tests/step/test_exactness.py -s` prints the table.
"""

from __future__ import annotations

import pytest
import torch

from anyclip.testing import exactness
from anyclip.testing.exactness import PATTERNS, TOLERANCE, VARIANTS, Case


def check(cases: list[Case], strategies: int) -> None:
    print("\n" + exactness.table(cases))
    combinations = len(VARIANTS) * 2 - 1  # dropout is compared in parts only
    assert len(cases) == strategies * 2 * len(PATTERNS) * combinations
    wrong = [str(case) for case in cases if not case.worst <= TOLERANCE]
    assert not wrong, "\n".join(wrong)
    names = {name for case in cases for name, _ in case.errors}
    assert names == {"loss", "grad", "scale", "bias"}


def test_one_process():
    check(list(exactness.compare(["single"], world=2)), strategies=1)


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 4])
def test_several_processes(world: int):
    check(exactness.spawn(world), strategies=2)


@pytest.mark.slow
def test_a_gather_that_forgets_is_noticed():
    """Gradients that do not come back from other processes (the default of several peers) must fail the proof."""
    cases = exactness.spawn(2, strategies=["ddp"], target=exactness.compare_broken)
    seen = {(c.pattern, c.parts): c.worst for c in cases}
    assert min(seen["all", 1], seen["all", 3], seen["some", 1]) > 0.1


def test_dropout_without_replay_is_noticed(monkeypatch):
    from anyclip.step import rng

    count = iter(range(10**6))
    monkeypatch.setattr(rng, "seed", lambda *key: torch.manual_seed(next(count)))
    cases = [c for c in exactness.compare(["single"], world=2) if c.variant == "dropout" and c.pattern == "all"]
    assert min(c.worst for c in cases) > 0.1


def test_the_batches_are_what_they_say():
    for world in (2, 4):
        have = exactness.present("none", world)
        start, stop = exactness.block(exactness.SIZE, 1, world)
        assert not any(mask[start:stop].any() for mask in have.values())
        assert (have["a"] & have["b"]).sum() >= 3
        few = exactness.present("few", world)
        assert (few["a"] & few["b"]).sum() == 1
        assert few["c"].sum() == 0
        some = exactness.present("some", world)
        assert 2 < (some["b"] & some["c"]).sum() < min(some["b"].sum(), some["c"].sum())


def test_the_command(capsys, monkeypatch):
    case = Case("ddp", "infonce", "plain", "all", 1, 2, (("loss", 0.0), ("grad", 1e-3)))
    monkeypatch.setattr(exactness, "spawn", lambda world: [case])
    monkeypatch.setattr(exactness, "compare", lambda *_, **__: iter([]))
    assert exactness.main(["-n", "2"]) == 1
    assert "grad 1.0e-03   WRONG" in capsys.readouterr().out
