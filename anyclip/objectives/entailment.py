"""Entailment cones: the general (second stream) contains the special (first stream) in a cone.

Desai et al. 2023 (MERU), arXiv 2304.09172, section 3.2; in flat space: Chou & Alam 2024, arXiv 2409.13079.
"""

from __future__ import annotations

import torch
from torch import Tensor

from anyclip.errors import UserError
from anyclip.objectives.base import Pair, StepContext
from anyclip.objectives.term import EdgeTerm
from anyclip.similarities import Prepared
from anyclip.similarities.hyperbolic import Hyperbolic, precise


class Entailment(EdgeTerm):
    """Mean over pairs of max(0, exterior angle - aperture): `pair: [image, text]` makes the text's cone hold the image.

    Needs the similarity of the pair to be `euclidean` or `hyperbolic`: its scaled features and curvature are used.
    """

    min_rows = 1

    def __init__(self, options, streams, similarity, **scalars):
        super().__init__(options, streams, similarity, **scalars)
        if similarity.geometry not in ("euclidean", "hyperbolic"):
            raise UserError(
                f"entailment needs a space with a root, which {type(similarity).__name__} is not.",
                hint="Give the loss on the pair, or this term, similarity: euclidean or hyperbolic.",
            )

    def shares(self, ctx: StepContext, pair: Pair) -> dict[str, Tensor]:
        own = pair.local
        a, b = ({"embedding": side["embedding"][own]} for side in (pair.a, pair.b))
        angles = self._hyperbolic(a, b) if isinstance(self.similarity, Hyperbolic) else self._euclidean(a, b)
        outside = (angles[0] - angles[1]).clamp(min=0)
        return {"loss": (outside.sum() / len(pair.rows)).to(a["embedding"].dtype)}

    def _euclidean(self, a: Prepared, b: Prepared) -> tuple[Tensor, Tensor]:
        """Angle at x = b_i between x and y - x with y = a_i, and the half aperture of x's cone."""
        x, step = b["embedding"], a["embedding"] - b["embedding"]
        length = _norm(x)
        return _acos((x * step).sum(dim=1) / (length * _norm(step))), _asin(self.options.min_radius / length)

    def _hyperbolic(self, a: Prepared, b: Prepared) -> tuple[Tensor, Tensor]:
        assert isinstance(self.similarity, Hyperbolic)
        c = precise(self.similarity.curvature)
        (ys, yt), (xs, xt) = self.similarity.lift(a, 0), self.similarity.lift(b, 1)
        inner = c * ((xs * ys).sum(dim=1) - xt * yt)
        length = _norm(xs)
        beyond = (inner.square() - 1).clamp(min=torch.finfo(inner.dtype).eps).sqrt()
        return _acos((yt + xt * inner) / (length * beyond)), _asin(2 * self.options.min_radius / (c.sqrt() * length))


def _norm(x: Tensor) -> Tensor:
    return x.square().sum(dim=1).clamp(min=torch.finfo(x.dtype).tiny).sqrt()


def _acos(x: Tensor) -> Tensor:
    edge = 1 - 4 * torch.finfo(x.dtype).eps  # its slope is infinite at 1
    return x.clamp(-edge, edge).acos()


def _asin(x: Tensor) -> Tensor:
    return x.clamp(max=1 - 4 * torch.finfo(x.dtype).eps).asin()
