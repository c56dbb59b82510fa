"""What a training step returns."""

from __future__ import annotations

from dataclasses import dataclass, field

from anyclip.objectives import StepContext


@dataclass
class StepOutput:
    """Numbers of one step, the same on every process.

    loss: the global total. terms: each term of the global batch, unweighted. pairs: complete rows per pair.
    finite: whether the loss is. context: detached rows for `after_step`, where an objective keeps state.
    """

    loss: float
    terms: dict[str, float] = field(default_factory=dict)
    pairs: dict[str, int] = field(default_factory=dict)
    finite: bool = True
    context: StepContext | None = None
