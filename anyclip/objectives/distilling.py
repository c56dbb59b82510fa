"""Formulas of distillation on plain tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def mean_probabilities(logits: Sequence[Tensor]) -> Tensor:
    """Mean over teachers of the softmax of their rows [R, N]: averaged after the softmax (MobileCLIP)."""
    if len(logits) == 1:
        return logits[0].softmax(dim=1)
    return torch.stack([x.softmax(dim=1) for x in logits]).mean(dim=0)


def soft_cross_entropy(target: Tensor, logits: Tensor, *, subtract_entropy: bool = False) -> Tensor:
    """Sum over rows of -sum_j p_j log softmax(logits)_j; less the entropy of p it is the KL divergence."""
    total = -(target * logits.log_softmax(dim=1)).sum()
    return total + torch.xlogy(target, target).sum() if subtract_entropy else total


def soft_sigmoid(target: Tensor, logits: Tensor) -> Tensor:
    """Sum of log(1 + exp(-q L)) with soft labels q in (-1, 1): the label multiplies the logit."""
    return -F.logsigmoid(target * logits).sum()


Side = tuple[Tensor, Tensor, "Tensor | float"]


def gradient_gap(student: Side, teacher: Side) -> Tensor:
    """Mean squared difference of the gradients that InfoNCE gives to embeddings, as anchors and as keys, both ways.

    student, teacher: (a, b, temperature). Sums over (a, b) and (b, a).
    """
    total = student[0].new_zeros(())
    for order in ((0, 1), (1, 0)):
        ours = _gradients(student[order[0]], student[order[1]], student[2])  # type: ignore[arg-type]
        theirs = _gradients(teacher[order[0]], teacher[order[1]], teacher[2])  # type: ignore[arg-type]
        total = total + sum((x - y).square().mean() for x, y in zip(ours, theirs))
    return total


def _gradients(x: Tensor, y: Tensor, temperature: Tensor | float) -> tuple[Tensor, Tensor]:
    """Of the cross entropy of rows x y^T / temperature, for anchors x and keys y [N, E]."""
    residual = (x @ y.T / temperature).softmax(dim=1) - torch.eye(len(x), dtype=x.dtype, device=x.device)
    return residual @ y / (len(x) * temperature), residual.T @ x / (len(x) * temperature)
