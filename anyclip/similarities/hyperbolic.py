"""Distances on the hyperboloid: general concepts near the root, special ones far from it.

Desai et al. 2023 (MERU), arXiv 2304.09172, sections 3.1 and 3.2; squared distance and inner product: Chou & Alam 2024,
arXiv 2409.13079.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from anyclip.similarities.base import Prepared, Similarity
from anyclip.similarities.options import HyperbolicOptions
from anyclip.similarities.tokens import at_least_fp32
from anyclip.towers import Encoding


class Hyperbolic(Similarity):
    """Minus the (squared) Lorentzian distance of lifted features, or their Lorentzian inner product.

    log_curvature [1]: read within its bounds. log_factor [2]: logarithms of the features' factors, first and second
    side. Computed in float64 where the device has it: distances of near points cancel.
    """

    decomposable = False
    geometry = "hyperbolic"

    def __init__(self, options: HyperbolicOptions | None = None):
        super().__init__()
        self.options = options or HyperbolicOptions()
        c = self.options.curvature
        self.log_curvature = nn.Parameter(torch.tensor([math.log(c.init)]), requires_grad=c.learn)
        self.log_factor = nn.Parameter(torch.zeros(2), requires_grad=self.options.learn_feature_scale)

    @property
    def curvature(self) -> Tensor:
        """c, [1]."""
        bounds = self.options.curvature
        return self.log_curvature.clamp(math.log(bounds.min), math.log(bounds.max)).exp()

    def prepare(self, encoding: Encoding, features: Tensor) -> Prepared:
        return {"embedding": at_least_fp32(features)}

    def lift(self, side: Prepared, index: int) -> tuple[Tensor, Tensor]:
        """Space [N, E] and time [N] parts of one side's points: the exponential map at the root."""
        x = side["embedding"]
        first = self.options.feature_scale
        first = x.shape[-1] ** -0.5 if isinstance(first, str) else first
        if self.options.learn_feature_scale:
            limit = max(0.0, -math.log(first))  # a factor above 1 is not needed (MERU clamps there)
            first = first * self.log_factor[index].clamp(max=limit).exp()
        x, c = precise(x * first), precise(self.curvature)
        length = c.sqrt() * x.square().sum(1).clamp(min=torch.finfo(x.dtype).tiny).sqrt()
        space = (length.sinh() / length)[:, None] * x
        return space, (1 / c + space.square().sum(1)).sqrt()

    def scores(self, a: Prepared, b: Prepared) -> Tensor:
        (xs, xt), (ys, yt) = self.lift(a, 0), self.lift(b, 1)
        inner = xs @ ys.T - xt[:, None] * yt[None]
        if not self.options.inner:
            c = precise(self.curvature)
            least = 1 + 4 * torch.finfo(inner.dtype).eps  # the slope of acosh is infinite at 1
            inner = -(-c * inner).clamp(min=least).acosh() / c.sqrt()
            if self.options.squared:
                inner = -inner.square()
        return inner.to(a["embedding"].dtype)


def precise(x: Tensor) -> Tensor:
    """In float64, where the device has it."""
    return x if x.device.type == "mps" else x.double()
