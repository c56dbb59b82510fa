"""Learning rate over the steps: a pure function of the step, so nothing has to be saved."""

from __future__ import annotations

import math

from anyclip.config import Config
from anyclip.config.schema import ScheduleConfig


def rate(step: int, steps: int, schedule: ScheduleConfig) -> float:
    """Share of the base rate at `step` (from 0) of `steps`.

    Warm-up rises linearly and reaches 1 at its last step; then `cosine` (half a period) or `linear` fall to
    `schedule.final`, which they would reach at step `steps`, one after the last; `constant` stays at 1.
    """
    warmup = schedule.warmup_steps
    if step < warmup:
        return (step + 1) / warmup
    if schedule.name == "constant":
        return 1.0
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    shape = 0.5 * (1 + math.cos(math.pi * done)) if schedule.name == "cosine" else 1 - done
    return schedule.final + (1 - schedule.final) * shape


def total_steps(config: Config, steps_per_epoch: float) -> int:
    """Optimizer steps of the run: `train.steps`, or `train.epochs` passes rounded up."""
    if config.train.steps is not None:
        return config.train.steps
    assert config.train.epochs is not None, "check_trainable asks for steps or epochs"
    return max(1, math.ceil(config.train.epochs * steps_per_epoch - 1e-9))
