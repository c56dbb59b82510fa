"""The counters of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anyclip.trainer.window import Window


@dataclass
class TrainState:
    """What a checkpoint holds besides tensors; plain values only.

    step: optimizer steps done (skipped ones count). samples: global rows seen. skipped: steps without an update
    because something was not finite; in_row: how many of them just now. seconds: time spent training.
    """

    step: int = 0
    samples: int = 0
    skipped: int = 0
    in_row: int = 0
    seconds: float = 0.0
    window: Window = field(default_factory=Window)

    def dump(self) -> dict[str, Any]:
        return {k: (v.state() if isinstance(v, Window) else v) for k, v in vars(self).items()}

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> TrainState:
        return cls(**{**values, "window": Window(values["window"])})
