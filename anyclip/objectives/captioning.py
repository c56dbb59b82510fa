"""Captioning: a decoder writes the second stream's tokens, looking at the first stream's.

Yu et al. 2022 (CoCa), arXiv 2205.01917, section 3.2.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from anyclip.errors import UserError
from anyclip.model import JointModel
from anyclip.objectives.base import StepContext
from anyclip.objectives.simsiam import own_rows
from anyclip.objectives.term import EdgeTerm
from anyclip.objectives.token_ids import token_ids
from anyclip.towers import Encoding


class Captioning(EdgeTerm):
    """Cross entropy of the next token, over all tokens of the global batch that are no padding.

    `pair: [image, text]`: the decoder attends to the image's tokens (or to its one vector, where the tower has none).
    """

    min_rows = 1

    def __init__(self, options: Any, streams: tuple[str, str], *rest: Any, widths: tuple[int, int], **scalars: Any):
        super().__init__(options, streams, *rest, **scalars)
        self.needs = self.needs | {"tokens"}
        width = options.width
        self.look = nn.Linear(widths[0], width)
        self.read = nn.Embedding(options.vocabulary, width) if options.inputs == "ids" else nn.Linear(widths[1], width)
        self.place = nn.Parameter(0.01 * torch.randn(options.max_length, width))
        layer = nn.TransformerDecoderLayer(
            width, options.heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerDecoder(layer, options.depth, norm=nn.LayerNorm(width))
        self.write = nn.Linear(width, options.vocabulary, bias=False)

    @classmethod
    def from_edge(cls, options: Any, streams: Any, similarity: Any, *, model: JointModel, **scalars: Any):
        widths = model.tower(streams[0]).width, model.tower(streams[1]).width
        return cls(options, streams, similarity, widths=widths, **scalars)

    def forward(self, ctx: StepContext) -> dict[str, Tensor]:
        if ctx.count(*self.streams) < self.min_rows:
            return {"loss": self.zero(ctx)}
        rows = ctx.rows(*self.streams)
        seen, written = (_chosen(ctx, stream, rows) for stream in self.streams)
        found = token_ids(ctx, self.streams[1])
        total, count = self.zero(ctx), torch.zeros(1, device=seen.pooled.device)
        if found is not None and len(seen.pooled):
            ids, mask = (own_rows(ctx, self.streams[1], x, rows) for x in found)
            labels = ids.masked_fill(~mask, self.options.pad_id)[:, 1:]
            loss, counted = caption_terms(self.logits(seen, written, ids, mask), labels, self.options.pad_id)
            total, count = total + loss, count + counted
        return {"loss": total / ctx.gather(count).sum().clamp(min=1)}

    def logits(self, seen: Encoding, written: Encoding, ids: Tensor, mask: Tensor) -> Tensor:
        """[B, T - 1, vocabulary]: position t is told what came up to t and says what follows."""
        if ids.shape[1] > self.options.max_length:
            raise UserError(f"a caption has {ids.shape[1]} tokens, captioning reads max_length {len(self.place)}.")
        x = self.read(ids if self.options.inputs == "ids" else _tokens(written).to(self.place.dtype))
        x = (x + self.place[: x.shape[1]])[:, :-1]
        memory = self.look(_tokens(seen).to(self.place.dtype))
        hidden = None if seen.tokens is None or seen.mask is None else ~seen.mask.bool()
        after = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        return self.write(self.layers(x, memory, tgt_mask=after, tgt_is_causal=True, memory_key_padding_mask=hidden))


def caption_terms(logits: Tensor, labels: Tensor, pad_id: int) -> tuple[Tensor, Tensor]:
    """(sum, number) of the cross entropies of [B, T, V] logits with labels [B, T] other than `pad_id`."""
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=pad_id, reduction="sum")
    return loss, (labels != pad_id).sum()


def _tokens(encoding: Encoding) -> Tensor:
    return encoding.pooled[:, None] if encoding.tokens is None else encoding.tokens


def _chosen(ctx: StepContext, stream: str, rows: Tensor) -> Encoding:
    """This process's part of some global rows of a stream."""
    return ctx.encoding(stream).map(lambda x: own_rows(ctx, stream, x, rows))
