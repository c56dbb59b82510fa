"""Masked modelling: guess the tokens that were hidden, by running the tower again.

Devlin et al. 2019 (BERT), arXiv 1810.04805, section 3.1; beside a contrastive loss: Li et al. 2021 (DeCLIP), arXiv
2110.05208.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from anyclip.errors import UserError
from anyclip.model import JointModel
from anyclip.objectives.base import Objective, StepContext
from anyclip.objectives.heads import Head
from anyclip.objectives.options import MaskedModellingOptions
from anyclip.objectives.token_ids import token_ids


class MaskedModelling(Objective):
    """Mean cross entropy over the chosen tokens of the global batch.

    The tower gets token embeddings in which chosen ones are replaced by a learned vector (or by a random token's, or
    not at all). Which are chosen depends on the step and the row, not on the process.
    """

    cacheable = False

    def __init__(self, options: MaskedModellingOptions, width: int, vocabulary: int, embedding: int):
        super().__init__()
        self.options, self.streams = options, (options.stream,)
        self.hidden = nn.Parameter(0.02 * torch.randn(embedding))
        self.head = Head(replace(options.head, dim=vocabulary, hidden=options.head.hidden or width), width)

    @classmethod
    def from_options(cls, options: MaskedModellingOptions, *, model: JointModel) -> MaskedModelling:
        tower = model.tower(options.stream)
        try:
            table = tower.token_table()
        except NotImplementedError:
            raise UserError(
                f"masked_modelling needs a tower of token ids, which that of {options.stream} is not."
            ) from None
        return cls(options, tower.width, *table.shape)

    def forward(self, ctx: StepContext) -> dict[str, Tensor]:
        (stream,) = self.streams
        if not ctx.count(stream):
            return {"loss": self.zero(ctx)}
        table = ctx.tower(stream).token_table()
        if hasattr(table, "full_tensor"):
            raise UserError(
                "masked_modelling reads the vocabulary's weights, which strategy fsdp shards.", hint="Use ddp."
            )
        found = token_ids(ctx, stream)
        labels = embeds = mask = None
        if found is not None:
            ids, mask = found
            chosen, given = self._choose(ctx, ids, mask, len(table))
            labels = ids.masked_fill(~chosen, -100)
            embeds = torch.where((given < 0)[..., None], self.hidden.to(table.dtype), table[given.clamp(min=0)])
        tokens = ctx.encode_embeds(stream, embeds, mask).tokens
        if tokens is None:
            raise UserError(f"masked_modelling needs tokens, and the tower of {stream} gives none.")
        total = self.zero(ctx) + tokens[:0].sum()
        count = torch.zeros(1, device=tokens.device)
        if labels is not None:
            loss, counted = masked_terms(self.head(tokens[:, : labels.shape[1]]), labels)
            total, count = total + loss, count + counted
        return {"loss": total / ctx.gather(count).sum().clamp(min=1)}

    def _choose(self, ctx: StepContext, ids: Tensor, mask: Tensor, vocabulary: int) -> tuple[Tensor, Tensor]:
        """(chosen [B, T], given [B, T]): the id that stands at each place, -1 for the learned vector."""
        o = self.options
        draws = [ctx.rng("masked_modelling", self.streams[0], row) for row in ctx.batch.rows(self.streams[0]).tolist()]
        # three numbers per token, so that a token's do not depend on how far its row is padded
        uniform = np.stack([rng.random((ids.shape[1], 3)) for rng in draws])
        chance, fate, other = torch.from_numpy(uniform).to(ids.device).unbind(-1)
        chosen = mask & (chance < o.ratio)
        given = torch.where(chosen & (fate >= o.keep), torch.full_like(ids, -1), ids)
        swapped = chosen & (fate >= o.keep) & (fate < o.keep + o.random)
        return chosen, torch.where(swapped, (other * vocabulary).to(ids.dtype), given)


def masked_terms(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(sum, number) of the cross entropies of [B, T, V] logits where labels [B, T] are not -100."""
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum")
    return loss, (labels != -100).sum()
