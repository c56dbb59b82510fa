"""Every registered loss, similarity and objective: the same on 1, 2 and 4 processes, whole and in parts.

`pytest tests/step/test_exactness_parts.py -s` prints the table; the whole one is marked slow.
"""

from __future__ import annotations

from functools import partial

import pytest

from anyclip.registry import get_registry
from anyclip.testing import exactness_parts
from anyclip.testing.exactness import TOLERANCE, Case, _Gather, right_rows, spawn, table
from anyclip.testing.exactness_parts import NO_FSDP, PATTERNS, build, compare, make_batch, subjects, untried

QUICK = ("supcon", "filip", "distillation", "nearest_neighbour", "captioning", "masked_modelling", "self_distillation")


def check(cases: list[Case]) -> None:
    print("\n" + table(cases))
    wrong = [str(case) for case in cases if not case.worst <= TOLERANCE]
    assert not wrong, "\n".join(wrong)


def expected(names: set[str]) -> int:
    return sum(len(PATTERNS) * (1 + s.cacheable) for s in subjects() if s.name in names)


def test_nothing_that_is_registered_is_left_out():
    registry = get_registry()
    tried = {(s.kind, s.name) for s in subjects()}
    assert not untried()
    for kind in ("loss", "similarity", "objective"):
        assert {(kind, part.spec.name) for part in registry.parts(kind)} <= tried


def test_one_process_with_parts():
    cases = list(compare(["single"], world=2, names=QUICK))
    assert len(cases) == expected(set(QUICK))
    check(cases)


@pytest.mark.parametrize("subject", subjects(), ids=lambda s: f"{s.kind}-{s.label}".replace(" ", "-"))
def test_every_subject_learns(subject):
    """A proof about numbers that are all zero would prove nothing."""
    from anyclip.step import train_step

    step = build(subject)
    output = train_step(step, make_batch("all", 1, 2, index=0, of=1), step=0)
    assert output.finite
    assert all(value for value in output.terms.values())
    reached = [p for p in step.parameters() if p.grad is not None and p.grad.abs().max() > 1e-9]
    assert len(reached) >= 5


@pytest.mark.slow
def test_one_process():
    check(list(compare(["single"], world=2)))


@pytest.mark.slow
@pytest.mark.parametrize(("world", "strategy"), [(2, "ddp"), (4, "ddp"), (2, "fsdp")])
def test_several_processes(world: int, strategy: str):
    cases = spawn(world, strategies=[strategy], target=compare)
    left = set(NO_FSDP) if strategy == "fsdp" else set()
    assert len(cases) == expected({s.name for s in subjects()} - left)
    check(cases)


@pytest.mark.slow
def test_the_command_prints_the_table(capfd):
    assert exactness_parts.main(["-n", "2", "cosine"]) == 0
    out = capfd.readouterr().out
    assert "2 x ddp    cosine" in out
    assert "16 cases, 0 wrong" in out


def broken(strategies, names):
    """A gather that forgets what other processes contribute."""
    _Gather.backward = staticmethod(lambda ctx, grad: (right_rows(ctx.counts, grad), None))
    yield from exactness_parts.compare(strategies, names=names)


@pytest.mark.slow
def test_a_gather_that_forgets_is_noticed():
    names = ("supcon", "hyperbolic", "cyclic", "geodesic_mixup")
    cases = spawn(2, strategies=["ddp"], target=partial(broken, names=names))
    seen = [case for case in cases if case.pattern in ("all", "some")]
    assert min(case.worst for case in seen) > 1e-4
