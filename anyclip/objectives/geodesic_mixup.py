"""Mixing on the sphere: hard negatives from both streams, and samples mixed within them.

Oh et al. 2022 (m2-Mix), arXiv 2203.03897, section 4.
"""

from __future__ import annotations

import torch
from torch import Tensor

from anyclip.distributed import world_size
from anyclip.objectives.base import Pair, StepContext
from anyclip.objectives.term import EdgeTerm, cross_entropy_rows


class GeodesicMixup(EdgeTerm):
    """m2-mix: candidates a_i.g_j (and b_i.g_j) beside the positive a_i.b_i, g_i on the arc from a_i to b_i, summed.

    Unimodal: each row is mixed with the row that mirrors it in the batch; the targets are mixed likewise (v-, l-mix),
    or both count (vl-mix); each is the mean of the directions. The shares are drawn per step, alike on all processes.
    """

    def __init__(self, options, *rest, **scalars):
        super().__init__(options, *rest, **scalars)
        multimodal, unimodal = ("m2_mix",) * bool(options.multimodal), ("v_mix", "l_mix", "vl_mix")
        self.components = multimodal + unimodal * bool(options.unimodal)

    def shares(self, ctx: StepContext, pair: Pair) -> dict[str, Tensor]:
        a, b = pair.a["embedding"], pair.b["embedding"]
        found = {}
        if self.options.multimodal:
            found["m2_mix"] = self.options.multimodal * mixed_negatives(a, b, self.scale, self._draw(ctx, "m2", 1))
        if self.options.unimodal:
            v, t, both = self._draw(ctx, "v", 0), self._draw(ctx, "l", 0), self._draw(ctx, "vl", 1)
            found["v_mix"] = self.options.unimodal * soft_loss(slerp(a, a.flip(0), v), b, self.scale, v, 1 - v)
            found["l_mix"] = self.options.unimodal * soft_loss(a, slerp(b, b.flip(0), t), self.scale, t, 1 - t)
            mixed = slerp(a, a.flip(0), both), slerp(b, b.flip(0), both)
            found["vl_mix"] = self.options.unimodal * soft_loss(*mixed, self.scale, 1.0, 1.0)
        return {name: value / world_size() for name, value in found.items()}

    def _draw(self, ctx: StepContext, name: str, which: int) -> float:
        if self.options.share is not None:
            return self.options.share
        p = self.options.beta[which]
        return float(ctx.rng("geodesic_mixup", *self.pair_streams, name).beta(p, p))


def slerp(x: Tensor, y: Tensor, share: float) -> Tensor:
    """Rows on the arc between unit rows, `share` of the way towards x; equal rows (an odd batch's middle) stay."""
    cosine = (x * y).sum(dim=1, keepdim=True)
    apart = cosine.detach().abs() < 1 - 1e-6  # else the angle has no slope; the chord is as good there
    angle = torch.where(apart, cosine, torch.zeros_like(cosine)).acos()
    arc = ((share * angle).sin() * x + ((1 - share) * angle).sin() * y) / angle.sin()
    chord = share * x + (1 - share) * y
    return torch.where(apart, arc, chord)


def mixed_negatives(a: Tensor, b: Tensor, scale: Tensor, share: float) -> Tensor:
    """Sum over both sides x of the cross entropy rows with logits scale * x_i.g_j, but a_i.b_i on the diagonal."""
    mixed = slerp(a, b, share)
    positive = (a * b).sum(dim=1)
    columns = torch.arange(len(a), device=a.device)
    total = a.new_zeros(())
    for x in (a, b):
        scores = x @ mixed.T
        scores = scores - torch.diag(scores.diagonal()) + torch.diag(positive)
        total = total + cross_entropy_rows(scale * scores, columns) / len(a)
    return total


def soft_loss(a: Tensor, b: Tensor, scale: Tensor, own: float, mirrored: float) -> Tensor:
    """Mean of the directions' cross entropies with targets own * I + mirrored * (I in reversed order)."""
    logits = scale * (a @ b.T)
    eye = torch.eye(len(a), dtype=a.dtype, device=a.device)
    target = own * eye + mirrored * eye.flip(0)
    losses = [-(target * x.log_softmax(dim=1)).sum() / len(a) for x in (logits, logits.T)]
    return (losses[0] + losses[1]) / 2
