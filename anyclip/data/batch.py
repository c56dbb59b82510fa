"""A process's share of one global batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from anyclip.processors import to_device


@dataclass(frozen=True)
class BadValue:
    """A value that could not be used, for `quarantine.jsonl`."""

    dataset: str
    sample: str
    stream: str
    reason: str


@dataclass
class Part:
    """Collated inputs of one micro-batch: only rows that have the stream."""

    inputs: dict[str, Any]  # stream -> collated inputs of present rows
    rows: dict[str, Tensor]  # stream -> sorted global row numbers of those inputs (int64)


@dataclass
class Batch:
    """One process's rows of a global batch, cut into `parts` (micro-batches) of consecutive rows.

    size: rows of the GLOBAL batch; row numbers run over it. local: this process's [start, stop).
    Every process has the same number of parts; a part, or a stream of it, may hold no rows.
    fields: extra columns asked for by objectives (labels, teacher embeddings): name -> (rows, values).
    bad: values that could not be used. samples: number of values tried (for the share of bad ones).
    """

    parts: list[Part]
    size: int
    local: tuple[int, int]
    fields: dict[str, tuple[Tensor, Any]] = field(default_factory=dict)
    bad: list[BadValue] = field(default_factory=list)
    tried: int = 0
    step: int = 0

    @property
    def streams(self) -> list[str]:
        return sorted({s for part in self.parts for s in part.rows})

    def rows(self, stream: str) -> Tensor:
        """Sorted global row numbers that have the stream on this process."""
        found = [part.rows[stream] for part in self.parts if stream in part.rows]
        return torch.cat(found) if found else torch.empty(0, dtype=torch.long)

    def micro(self, i: int) -> Part:
        return self.parts[i]

    def to(self, device: torch.device | str) -> Batch:
        """The batch with inputs and fields on `device`; row numbers stay on the CPU."""
        return Batch(
            parts=[Part(to_device(p.inputs, device), p.rows) for p in self.parts],
            size=self.size,
            local=self.local,
            fields={k: (rows, to_device(v, device)) for k, (rows, v) in self.fields.items()},
            bad=self.bad,
            tried=self.tried,
            step=self.step,
        )


def batch_of(inputs: Mapping[str, Any], rows: Mapping[str, Tensor], size: int) -> Batch:
    """A one-part batch of one process, as tests and small loops want it."""
    return Batch([Part(dict(inputs), dict(rows))], size, (0, size))
