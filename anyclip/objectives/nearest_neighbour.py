"""Nearest-neighbour supervision: what is close to a sample's text in a queue of earlier ones describes it too.

Li et al. 2021 (DeCLIP), arXiv 2110.05208, section 3.4.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from anyclip.model import JointModel
from anyclip.objectives.base import StepContext
from anyclip.objectives.term import EdgeTerm, columns_of, cross_entropy_rows


class NearestNeighbour(EdgeTerm):
    """Mean over anchor streams v and key streams t of the cross entropy rows of scale * v_i.nn(t_j).

    nn(t): the entry of the queue with the largest cosine, without gradient. bank [size, E], pointer [1]: the queue, a
    ring; it begins with random unit vectors. After each step the keys enter, the last stream first; what does not fit
    before the end of the ring is dropped, and writing begins anew (as in the origin).
    """

    bank: Tensor
    pointer: Tensor

    def __init__(self, options: Any, streams: tuple[str, str], *rest: Any, dim: int, **scalars: Any):
        super().__init__(options, streams, *rest, **scalars)
        self.anchors = tuple(options.anchors) or streams[:1]
        self.keys = tuple(options.keys) or streams[1:]
        self.streams = (*self.anchors, *self.keys)  # type: ignore[assignment]
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("bank", F.normalize(torch.randn(options.size, dim, generator=generator), dim=-1))
        self.register_buffer("pointer", torch.zeros(1, dtype=torch.long))

    @classmethod
    def from_edge(cls, options: Any, streams: Any, similarity: Any, *, model: JointModel, **scalars: Any):
        return cls(options, streams, similarity, dim=model.dim, **scalars)

    def forward(self, ctx: StepContext) -> dict[str, Tensor]:
        pairs = [(v, t) for v in self.anchors for t in self.keys if ctx.count(v, t) >= self.min_rows]
        if not pairs:
            return {"loss": self.zero(ctx)}
        total = torch.stack([self._contrast(ctx, v, t) for v, t in pairs]).sum()
        return {"loss": total / len(pairs) + self.zero(ctx)}

    def _contrast(self, ctx: StepContext, anchor: str, key: str) -> Tensor:
        pair = ctx.pair(anchor, key, self.similarity)
        own = pair.local
        neighbours = ctx.gather(self.neighbours(pair.b["embedding"][own].detach()))
        logits = self.scale * (pair.a["embedding"][own] @ neighbours.T)
        return cross_entropy_rows(logits, columns_of(own, logits.device)) / len(pair.rows)

    def neighbours(self, x: Tensor) -> Tensor:
        """The unit entries of the queue that are closest to unit rows [n, E]."""
        return F.normalize(self.bank.to(x.dtype)[(x @ self.bank.to(x.dtype).T).argmax(dim=1)], dim=-1)

    def after_step(self, ctx: StepContext | None = None) -> None:
        super().after_step(ctx)
        assert ctx is not None
        for stream in reversed(self.keys):
            if ctx.count(stream):
                self.enqueue(ctx.side(stream, self.similarity).prepared["embedding"].to(self.bank.dtype))

    def enqueue(self, x: Tensor) -> None:
        """Write rows at the pointer; the same rows in the same order on every process."""
        start, size = int(self.pointer), len(self.bank)
        kept = x[: size - start]
        self.bank[start : start + len(kept)] = kept
        self.pointer.fill_(0 if start + len(x) >= size else start + len(x))
