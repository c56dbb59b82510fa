"""The token ids that a tower of ids was given."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from anyclip.errors import UserError
from anyclip.objectives.base import StepContext


def token_ids(ctx: StepContext, stream: str) -> tuple[Tensor, Tensor] | None:
    """(ids [B, T], mask [B, T]) of this process's rows; None where it has none.

    Raises UserError for a stream whose processor does not collate to `{"ids": ..., "mask": ...}`.
    """
    found = [part.inputs[stream] for part in ctx.batch.parts if stream in part.inputs and len(part.rows[stream])]
    if not found:
        return None
    if not all(isinstance(inputs, Mapping) and {"ids", "mask"} <= set(inputs) for inputs in found):
        raise UserError(f"the stream {stream} has no token ids: its inputs are no `ids` with a `mask`.")
    length = max(inputs["ids"].shape[1] for inputs in found)
    ids, mask = (torch.cat([_padded(inputs[name], length) for inputs in found]) for name in ("ids", "mask"))
    return ids, mask.bool()


def _padded(x: Tensor, length: int) -> Tensor:
    return torch.cat([x, x.new_zeros(len(x), length - x.shape[1])], dim=1)
