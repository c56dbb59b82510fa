"""A loss on a pair of streams: an edge of the pair graph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from anyclip.errors import UserError
from anyclip.losses import Loss
from anyclip.losses.base import Candidates, at_least_fp32
from anyclip.objectives.base import Objective, StepContext
from anyclip.objectives.scalar import clamp_
from anyclip.similarities import Similarity

Negatives = Literal["pair", "modality", "all"]


class PairObjective(Objective):
    """Scores of the complete rows of the global batch, turned into a number by a loss.

    log_scale: [1], the logarithm of the scale. bias: [1] or None. scale_max: clamp of the scale after each step.
    negatives: a row's candidates. `pair`: the complete rows; `modality`: all rows that have the other stream; `all`:
    every row, where one that lacks the other stream is a zero vector (it scores 0). Queries are complete rows always.
    Raises UserError (naming `where`) for a loss or similarity that cannot have other candidates than the complete rows.
    heads: layers between features and similarity, under `a` for the first stream and `b` for the second.
    Fewer complete rows than the loss's `min_rows` give 0 (with a graph: its gradients are zeros).
    """

    streams: tuple[str, str]

    def __init__(
        self,
        streams: tuple[str, str],
        loss: Loss,
        similarity: Similarity,
        *,
        log_scale: nn.Parameter,
        bias: nn.Parameter | None = None,
        scale_max: float | None = None,
        negatives: Negatives = "pair",
        heads: Mapping[str, nn.Module] | None = None,
        where: str | None = None,
    ):
        super().__init__()
        self.heads = nn.ModuleDict(dict(heads or {}))
        check_negatives(negatives, loss, similarity, where, heads=bool(heads))
        self.negatives = negatives
        self.streams = streams
        self.loss, self.similarity = loss, similarity
        self.log_scale, self.bias, self.scale_max = log_scale, bias, scale_max
        self.needs = similarity.needs
        self.fields = loss.fields

    @property
    def scale(self) -> Tensor:
        """The multiplied value, [1]."""
        return at_least_fp32(self.log_scale).exp()

    def head(self, side: int) -> nn.Module | None:
        """The layers between the features of the first or second stream and the similarity."""
        return dict(self.heads).get("ab"[side])

    def counted(self, ctx: StepContext) -> bool:
        """Whether the global batch holds enough complete rows; the same on every process."""
        return ctx.count(*self.streams) >= self.loss.min_rows

    def forward(self, ctx: StepContext) -> dict[str, Tensor]:
        if not self.counted(ctx):
            return {"loss": self.zero(ctx)}
        if self.negatives != "pair":
            return {"loss": self._wide(ctx).sum()}
        pair = ctx.pair(*self.streams, self.similarity, heads=[self.head(s) for s in (0, 1)])
        share = self.loss.share(
            pair.a,
            pair.b,
            pair.local,
            score=self.similarity.scores,
            scale=self.scale,
            bias=None if self.bias is None else at_least_fp32(self.bias),
            **{name: self.field(ctx, name, pair.rows) for name in self.fields},
        )
        return {"loss": share.sum()}

    def _wide(self, ctx: StepContext) -> Tensor:
        rows = ctx.rows(*self.streams)
        sides = [self._candidates(ctx, stream, rows) for stream in self.streams]
        local = _own_rows(rows, ctx.batch.local)
        bias = None if self.bias is None else at_least_fp32(self.bias)
        return self.loss.wide_share(
            sides[0], sides[1], local, score=self.similarity.scores, scale=self.scale, bias=bias
        )

    def _candidates(self, ctx: StepContext, stream: str, rows: Tensor) -> Candidates:
        found = ctx.side(stream, self.similarity)
        prepared = found.prepared
        absent = ctx.batch.size - len(found.rows)
        if self.negatives == "all" and absent:
            prepared = {k: torch.cat([x, x.new_zeros(absent, *x.shape[1:])]) for k, x in prepared.items()}
        device = next(iter(prepared.values())).device
        return Candidates(prepared, torch.searchsorted(found.rows, rows).to(device))

    def after_step(self, ctx: StepContext | None = None) -> None:
        if self.scale_max is not None and self.log_scale.requires_grad:
            clamp_(self.log_scale, math.log(self.scale_max))


def check_negatives(
    negatives: Negatives, loss: Loss, similarity: Similarity, where: str | None, *, heads: bool = False
) -> None:
    """Raises UserError when a row can have no other candidates than the complete rows."""
    if negatives == "pair":
        return
    place = f"{where}.negatives" if where else None
    if not loss.wide:
        raise UserError(
            f"negatives: {negatives} is not defined for {type(loss).__name__} with these options.",
            where=place,
            hint="Use negatives: pair, or a plain infonce.",
        )
    if similarity.paired or heads:
        raise UserError(
            f"negatives: {negatives} is not defined {'with heads' if heads else 'for a similarity of paired rows'}.",
            where=place,
            hint="Use negatives: pair.",
        )
    if negatives == "all" and not similarity.decomposable:
        raise UserError(
            f"negatives: all needs a similarity of one vector per row, which {type(similarity).__name__} is not.",
            where=place,
            hint="Use cosine, or negatives: modality.",
        )


def _own_rows(rows: Tensor, local: tuple[int, int]) -> slice:
    """Which of the sorted global rows lie in this process's block [start, stop)."""
    start, stop = torch.searchsorted(rows, torch.tensor(local)).tolist()
    return slice(start, stop)
