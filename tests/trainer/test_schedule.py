"""The learning rate at every step, on numbers."""

from __future__ import annotations

import math

import pytest

from anyclip.config.schema import ScheduleConfig
from anyclip.trainer.schedule import rate


def rates(steps, **schedule):
    return [rate(s, steps, ScheduleConfig(**schedule)) for s in range(steps)]


def test_warmup_rises_in_equal_steps_to_the_full_rate():
    assert rates(10, name="constant", warmup_steps=4)[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_cosine_is_half_a_period_from_the_end_of_the_warmup():
    found = rates(12, name="cosine", warmup_steps=2)
    assert found[2] == 1.0
    assert found[7] == pytest.approx(0.5)
    assert found[11] == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.9)))


def test_linear_falls_to_its_final_share():
    found = rates(10, name="linear", final=0.2)
    assert found == pytest.approx([1 - 0.8 * k / 10 for k in range(10)])
    assert rate(10, 10, ScheduleConfig(name="linear", final=0.2)) == pytest.approx(0.2)


def test_constant_stays():
    assert set(rates(5, name="constant", final=0.0)) == {1.0}


def test_a_warmup_longer_than_the_run_only_rises():
    found = rates(4, name="cosine", warmup_steps=8)
    assert found == pytest.approx([1 / 8, 2 / 8, 3 / 8, 4 / 8])
