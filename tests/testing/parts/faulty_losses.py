"""A sound loss, and losses that break one promise each."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from anyclip import Loss
from anyclip.losses.base import take


class Sound(Loss):
    """Softmax in one direction; breaks no promise."""

    def from_scores(self, ab, ba, *, scale, bias=None, **fields):
        return F.cross_entropy(ab * scale, torch.arange(len(ab)))


class WrongSign(Sound):
    def from_scores(self, ab, ba, *, scale, bias=None, **fields):
        return -super().from_scores(ab, ba, scale=scale)


class OrderMatters(Sound):
    def from_scores(self, ab, ba, *, scale, bias=None, **fields):
        rows = F.cross_entropy(ab * scale, torch.arange(len(ab)), reduction="none")
        return (rows * torch.linspace(0.5, 1.5, len(ab))).mean()


class LocalMean(Sound):
    """Divides its share by its own rows: every process counts as much, whatever it holds."""

    def share(self, a, b, local, *, score, scale, bias=None, **fields):
        scores = score(take(a, local), b)
        scores = scores[0] if isinstance(scores, tuple) else scores
        if not len(scores):
            return scores.sum()
        return F.cross_entropy(scores * scale, torch.arange(local.start, local.stop))


class DetachedScale(Sound):
    def from_scores(self, ab, ba, *, scale, bias=None, **fields):
        return super().from_scores(ab, ba, scale=scale.detach() if isinstance(scale, torch.Tensor) else scale)


class DetachedSide(Sound):
    def from_scores(self, ab, ba, *, scale, bias=None, **fields):
        return super().from_scores(ab, ba, scale=scale) + (ab.detach() ** 2).mean()


class Overflows(Sound):
    def from_scores(self, ab, ba, *, scale, bias=None, **fields):
        e = (ab * scale).exp()
        return -(e.diagonal() / e.sum(1)).log().mean()


class InPlace(Sound):
    def from_scores(self, ab, ba, *, scale, bias=None, **fields):
        with torch.no_grad():
            ab.fill_diagonal_(1.0)
        return super().from_scores(ab, ba, scale=scale)


class PerRow(Sound):
    def from_scores(self, ab, ba, *, scale, bias=None, **fields):
        return F.cross_entropy(ab * scale, torch.arange(len(ab)), reduction="none")


class Remembers(Sound):
    calls = 0

    def from_scores(self, ab, ba, *, scale, bias=None, **fields):
        self.calls += 1
        return super().from_scores(ab, ba, scale=scale) * (1 + 0.01 * self.calls)


class Lonely(Sound):
    """Divides by n - 1 and says that one row suffices."""

    min_rows = 1

    def from_scores(self, ab, ba, *, scale, bias=None, **fields):
        return super().from_scores(ab, ba, scale=scale) * len(ab) / (len(ab) - 1)

    def share(self, a, b, local, *, score, scale, bias=None, **fields):
        return super().share(a, b, local, score=score, scale=scale)
