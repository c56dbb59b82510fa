"""What tests/parity.py prints: a line per case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from anyclip.testing.reference import Difference


@dataclass(frozen=True)
class Line:
    """One line of the report. differences is empty where nothing could be compared; then `reason` says why."""

    case: str
    dtype: str
    differences: Sequence[Difference]
    status: str
    reason: str = ""

    @property
    def worst(self) -> Difference | None:
        return max(self.differences, key=lambda d: d.share, default=None)

    def __str__(self) -> str:
        if self.worst is None:
            return f"{self.case:<44} {self.dtype:<8} {self.status:<5} {self.reason}"
        numbers = f"largest difference {self.worst.error:.1e} of {self.worst.tolerance:.1e} in {self.worst.name}"
        return f"{self.case:<44} {self.dtype:<8} {self.status:<5} {numbers} ({len(self.differences)} compared)"
