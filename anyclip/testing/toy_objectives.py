"""A similarity of tokens and an objective with a queue, for the proof of exactness and for tests."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from anyclip.objectives import Objective, StepContext
from anyclip.similarities import Prepared, Similarity
from anyclip.towers import Encoding


class TokenMax(Similarity):
    """Each token's best match, averaged over tokens; the directions differ (compare FILIP, arXiv 2111.07783)."""

    decomposable = False
    needs = frozenset({"tokens"})

    def prepare(self, encoding: Encoding, features: Tensor) -> Prepared:
        assert encoding.tokens is not None
        assert encoding.mask is not None
        return {"tokens": F.normalize(encoding.tokens, dim=-1), "mask": encoding.mask}

    def scores(self, a: Prepared, b: Prepared) -> tuple[Tensor, Tensor]:
        every = torch.einsum("apw,bqw->abpq", a["tokens"], b["tokens"])
        ab = _mean(every.masked_fill(~b["mask"][None, :, None], -2.0).amax(3), a["mask"][:, None])
        ba = _mean(every.masked_fill(~a["mask"][:, None, :, None], -2.0).amax(2), b["mask"][None])
        return ab, ba.T


def _mean(best: Tensor, mask: Tensor) -> Tensor:
    """Mean over the last axis where `mask`, which broadcasts, is True."""
    mask = mask.to(best.dtype)
    return (best * mask).sum(-1) / mask.expand_as(best).sum(-1)


class Queue(Objective):
    """Features of one stream against those of earlier steps, weighted by a column: `sum w logsumexp(x q / 0.5) / n`.

    queue: [slots, E], newest last, in global row order; it is part of the state dict.
    """

    def __init__(self, stream: str, *, field: str, dim: int, slots: int = 8):
        super().__init__()
        self.streams, self.fields = (stream,), (field,)
        self.head = torch.nn.Linear(dim, dim, bias=False)
        torch.nn.init.eye_(self.head.weight)
        self.register_buffer("queue", torch.zeros(slots, dim))

    def forward(self, ctx: StepContext) -> dict[str, Tensor]:
        (stream,), (field,) = self.streams, self.fields
        everywhere = ctx.rows(stream)
        weight = ctx.field(field, everywhere)
        own = torch.isin(everywhere, ctx.batch.rows(stream))
        scores = self.head(ctx.features(stream)) @ self.queue.T / 0.5
        local = (weight[own.to(weight.device)] * scores.logsumexp(dim=1)).sum() / max(len(everywhere), 1)
        spread = ctx.gather(ctx.encoding(stream).pooled).var(dim=0).sum() * (int(own.sum()) / max(len(everywhere), 1))
        return {"queue": local, "spread": spread}

    def after_step(self, ctx: StepContext) -> None:
        rows = ctx.gather(ctx.features(self.streams[0]))
        self.queue = torch.cat([self.queue, rows])[-len(self.queue) :]
