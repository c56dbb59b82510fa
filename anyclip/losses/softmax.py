"""One direction of the softmax family: rows of logits against their positives and negatives."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from anyclip.losses.options import InfoNCEOptions


@dataclass(frozen=True)
class Rows:
    """Some rows of a score matrix [R, M].

    columns [R]: each row's own positive. keys: what the rows' and the columns' items are labelled with ([R], [M]), for
    options that read labels or ids. limit [1]: the largest logit, for the floor of `debias`.
    """

    logits: Tensor
    columns: Tensor
    keys: tuple[Tensor, Tensor] | None = None
    limit: Tensor | float = math.inf


def softmax_terms(rows: Rows, options: InfoNCEOptions) -> Tensor:
    """-target + log sum over the candidates, per row [R].

    With logits L, own positive d and n negatives: log( (positive_weight - debias * N / (1 - debias)) e^d
    + sum_neg w_j e^(L_j) / (1 - debias) ), N the columns and w_j = n softmax(hardness * L)_j or 1.
    """
    logits, own = rows.logits, _own(rows)
    if options.margin:
        logits = logits - options.margin * own
    positive = logits.gather(1, rows.columns[:, None])[:, 0]
    if options.positive_weight == 1 and options.hardness is None:
        return _all_candidates(rows, logits, own, options) - _target(rows, logits, positive, options)
    negatives = ~own
    if options.mask_same_id:
        negatives &= ~_same(rows)
    count = negatives.sum(dim=1).to(logits.dtype)
    empty = (count == 0)[:, None]  # nothing to be told apart from: the row gives 0, and no NaN in the backward
    left_out = ~negatives & ~empty
    kept = logits.masked_fill(left_out, -math.inf)
    if options.hardness is not None:
        hard = (options.hardness * logits).masked_fill(left_out, -math.inf)
        kept = kept + hard.log_softmax(dim=1).masked_fill(~negatives, 0.0) + count.clamp(min=1).log()[:, None]
    below = kept.logsumexp(dim=1)
    candidates = _weighted(positive, below, count, logits.shape[1], rows.limit, options)
    return torch.where(empty[:, 0], torch.zeros_like(positive), candidates - positive)


def _own(rows: Rows) -> Tensor:
    every = torch.arange(rows.logits.shape[1], device=rows.logits.device)
    return every[None] == rows.columns[:, None]


def _same(rows: Rows) -> Tensor:
    assert rows.keys is not None
    return rows.keys[0][:, None] == rows.keys[1][None]


def _target(rows: Rows, logits: Tensor, positive: Tensor, options: InfoNCEOptions) -> Tensor:
    if options.multi_positive:
        same = _same(rows)
        return (logits * same).sum(dim=1) / same.sum(dim=1)
    if options.label_smoothing:
        return torch.lerp(positive, logits.mean(dim=1), options.label_smoothing)
    return positive


def _all_candidates(rows: Rows, logits: Tensor, own: Tensor, options: InfoNCEOptions) -> Tensor:
    if options.mask_same_id:
        logits = logits.masked_fill(_same(rows) & ~own, -math.inf)
    return logits.logsumexp(dim=1)


def _weighted(
    positive: Tensor, below: Tensor, count: Tensor, n: int, limit: Tensor | float, options: InfoNCEOptions
) -> Tensor:
    """log( positive_weight e^positive + max(debiased sum of the negatives, floor) ); below = log of their sum."""
    if not options.debias:
        if not options.positive_weight:
            return below
        return torch.logaddexp(positive + math.log(options.positive_weight), below)
    top = torch.maximum(positive, below).detach()
    share = options.debias * n / (1 - options.debias)
    negative = (below - top).exp() / (1 - options.debias) - share * (positive - top).exp()
    if options.debias_floor:
        negative = torch.maximum(negative, (count.clamp(min=1).log() - limit - top).exp())
    return top + (options.positive_weight * (positive - top).exp() + negative).log()
