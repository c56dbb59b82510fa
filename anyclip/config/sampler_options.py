"""Options of the core's samplers (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Gt

Positive = Annotated[int, Gt(0)]


@dataclass(kw_only=True)
class ClustersOptions:
    """Batches of items that are near each other, as hard negatives (VideoCLIP)."""

    streams: list[str] = field(default_factory=list)
    """Streams whose embeddings, averaged, say how near items are. Default: every stream that is trained."""
    group: Positive = 1
    """So many consecutive rows are one item, as the readers give them whose option `clips` is this number."""
    take: Positive = 1
    """Rows of an item in a batch, so that a batch holds data.batch_size / take items; others in the next pass."""
    pool: Annotated[float, Ge(1)] = 2.0
    """A batch is drawn from so many times its items: those nearest to one that the pass has in turn."""
    random_passes: Positive = 1
    """Passes in random order at the beginning, until the embeddings mean something."""
    lag: Positive = 64
    """Steps before the end of a pass whose embeddings are left for the one after: the loader is ahead of training, and
    what it prepares must not depend on how far. At least workers x prefetch + 1."""

    def __post_init__(self):
        if self.group % self.take:
            raise ValueError(f"group ({self.group}) must be a multiple of take ({self.take})")
