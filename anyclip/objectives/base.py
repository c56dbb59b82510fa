"""The interface of an objective, and what a training step offers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn

from anyclip.data import Batch
from anyclip.losses.base import Prepared
from anyclip.similarities import Similarity
from anyclip.towers import Encoding

if TYPE_CHECKING:
    from anyclip.model import JointModel


@dataclass(frozen=True)
class Pair:
    """Two streams on the rows of the global batch that have both.

    rows: their sorted global row numbers [n], on the CPU. local: this process's rows among them.
    a, b: what the similarity compares, gathered, [n, ...] each; a gradient goes back to the process of the row.
    """

    rows: Tensor
    local: slice
    a: Prepared
    b: Prepared


@dataclass(frozen=True)
class Side:
    """One stream on all rows of the global batch that have it: their sorted row numbers [n], and what is compared."""

    rows: Tensor
    prepared: Prepared


class StepContext(Protocol):
    """One step of one process, as an objective sees it.

    Every process must make the same sequence of `pair`, `field`, `encode` and `gather` calls; `count` is the same on
    every process, so decide by it and never by local rows.
    """

    step: int
    batch: Batch

    def count(self, *streams: str) -> int:
        """Rows of the GLOBAL batch that have all of the streams."""
        ...

    def rows(self, *streams: str) -> Tensor:
        """Their sorted global row numbers, on the CPU."""
        ...

    def encoding(self, stream: str) -> Encoding:
        """This process's rows, in the order of `batch.rows(stream)`. Raises LookupError where `count(stream)` is 0."""
        ...

    def features(self, stream: str) -> Tensor:
        """Projected, raw vectors of this process's rows [B, E]; B may be 0."""
        ...

    def pair(self, a: str, b: str, similarity: Similarity | None = None) -> Pair:
        """Complete rows of two streams, gathered from all processes; cosine when no similarity is given."""
        ...

    def side(self, stream: str, similarity: Similarity | None = None) -> Side:
        """Every row that has the stream, gathered from all processes; cosine when no similarity is given."""
        ...

    def field(self, name: str, rows: Tensor) -> Tensor:
        """An extra column for some global rows, [len(rows), ...]; LookupError when one lacks it."""
        ...

    def encode(self, stream: str, inputs: Any, **kw: Any) -> Encoding:
        """Run a tower again (inputs None: no rows here). Only for objectives with `cacheable = False`."""
        ...

    def gather(self, x: Tensor) -> Tensor:
        """Rows of all processes in rank order, however many each has; the backward adds up."""
        ...


class Objective(nn.Module):
    """A term of the training loss.

    streams: the streams it needs. cacheable: it needs only encodings, so that micro-batches can be used.
    needs: what it reads of an encoding beside `pooled` and `terms`: "tokens", "layers", "extra".
    depths: stream -> depths that its tower shall return in `Encoding.layers`.
    fields: extra columns of the batch. State that must survive a resume lives in parameters and buffers.
    """

    streams: tuple[str, ...] = ()
    cacheable: bool = True
    needs: frozenset[str] = frozenset()
    depths: Mapping[str, Sequence[int]] = {}
    fields: tuple[str, ...] = ()

    @classmethod
    def from_options(cls, options: Any, *, model: JointModel) -> Objective:
        """Build from the options dataclass; `model` gives widths for heads and is not kept."""
        return cls(options) if options is not None else cls()

    def forward(self, ctx: StepContext) -> dict[str, Tensor]:
        """Named shares: this process's part of each term, so that the sum over processes is the global term."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def after_step(self, ctx: StepContext) -> None:
        """Once per optimizer step, without grad: queues, moving averages, clamps. `ctx.gather` gives global order."""
