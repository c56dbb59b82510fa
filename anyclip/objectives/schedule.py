"""When a term of the training loss begins, and how it rises."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """The share of a term's weight as a function of the step alone, so that a resumed run needs no state for it.

    start: steps of the run before the term takes part. ramp: steps of linear rise; the last has the whole weight.
    """

    start: int = 0
    ramp: int = 0

    def factor(self, step: int) -> float:
        """0 before the start, then up to 1; `step` counts from 0."""
        if step < self.start:
            return 0.0
        return 1.0 if not self.ramp else min(1.0, (step - self.start + 1) / self.ramp)
