"""The interface of an objective, and what a training step offers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from anyclip.data import Batch
from anyclip.losses.base import Prepared, at_least_fp32
from anyclip.similarities import Similarity
from anyclip.towers import Encoding, Tower

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

    def pair(
        self, a: str, b: str, similarity: Similarity | None = None, *, heads: Sequence[nn.Module | None] = (None, None)
    ) -> Pair:
        """Complete rows of two streams, gathered from all processes; cosine when no similarity is given.

        heads: for each side, layers between its features and the similarity.
        """
        ...

    def select(self, stream: str, x: Tensor, rows: Tensor) -> Tensor:
        """Gather values of this process's rows of a stream, and take some global rows (that have the stream) of all."""
        ...

    def local(self, rows: Tensor) -> slice:
        """Which of some sorted global rows lie on this process."""
        ...

    def rng(self, *key: int | str) -> np.random.Generator:
        """Random numbers of this step, the same on every process."""
        ...

    def teacher(self, stream: str) -> Tower:
        """The moving average of the stream's tower, kept by an objective that has it among its `teachers`."""
        ...

    def tower(self, stream: str) -> Tower:
        """The stream's tower, for its vocabulary or weights; run it by `encode` and `encode_embeds`."""
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

    def encode_embeds(self, stream: str, embeds: Tensor | None, mask: Tensor | None) -> Encoding:
        """Run a tower on token embeddings [B, T, W] (None: no rows here). Only with `cacheable = False`."""
        ...

    def gather(self, x: Tensor) -> Tensor:
        """Rows of all processes in rank order, however many each has; the backward adds up."""
        ...


class Objective(nn.Module):
    """A term of the training loss.

    streams: the streams it needs. cacheable: it needs only encodings, so that micro-batches can be used.
    needs: what it reads of an encoding beside `pooled` and `terms`: "tokens", "layers", "extra".
    depths: stream -> depths that its tower shall return in `Encoding.layers`.
    fields: extra values that it reads; columns: field -> extra column of the batch, where the names differ.
    State that must survive a resume lives in parameters and buffers.
    Moving averages of towers are a submodule `averages` (nn.ModuleDict by stream) and so live in the checkpoint too.
    """

    streams: tuple[str, ...] = ()
    cacheable: bool = True
    needs: frozenset[str] = frozenset()
    depths: Mapping[str, Sequence[int]] = {}
    fields: tuple[str, ...] = ()
    columns: Mapping[str, str] = MappingProxyType({})

    @classmethod
    def from_options(cls, options: Any, *, model: JointModel) -> Objective:
        """Build from the options dataclass; `model` gives widths for heads and is not kept."""
        return cls(options) if options is not None else cls()

    def forward(self, ctx: StepContext) -> dict[str, Tensor]:
        """Named shares: this process's part of each term, so that the sum over processes is the global term."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    @property
    def teachers(self) -> Mapping[str, nn.Module]:
        """Moving averages of towers by stream: the submodule `averages`, where there is one."""
        return self._modules.get("averages") or {}  # type: ignore[return-value]

    def begin(self, model: JointModel) -> None:
        """Once before the first step of a run, when all weights are loaded and nothing is sharded."""

    @property
    def data_fields(self) -> tuple[str, ...]:
        """Extra columns that the data must bring."""
        return tuple(self.columns.get(name, name) for name in self.fields)

    def field(self, ctx: StepContext, name: str, rows: Tensor) -> Tensor:
        """One of `fields` for some global rows."""
        return ctx.field(self.columns.get(name, name), rows)

    def zero(self, ctx: StepContext) -> Tensor:
        """0 with the graph that other processes and other numbers of processes have; sums of nothing are never NaN."""
        tensors = [*(p for p in self.parameters() if p.requires_grad), *(ctx.features(s) for s in self.streams)]
        if not tensors:
            return torch.zeros(())
        return torch.stack([at_least_fp32(t.flatten()[:0]).sum() for t in tensors]).sum()

    def after_step(self, ctx: StepContext) -> None:
        """Once per optimizer step, without grad: queues, moving averages, clamps. `ctx.gather` gives global order."""
