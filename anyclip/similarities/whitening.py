"""Whitened features: uncorrelated, of unit variance, so that their length tells how usual a sample is.

Betser et al. 2025 (Whitened CLIP), arXiv 2505.06934. A transform of finished embeddings: fit it on a reference set.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anyclip.similarities.base import Prepared, Similarity
from anyclip.similarities.options import WhiteningOptions
from anyclip.similarities.tokens import at_least_fp32
from anyclip.towers import Encoding


class Whitener(nn.Module):
    """x -> (x - mean) W with W = V diag(s)^-1/2, from the covariance V diag(s) V^T of a reference set."""

    mean: Tensor
    matrix: Tensor

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("matrix", torch.eye(dim))

    @torch.no_grad()
    def fit(self, x: Tensor, *, min_variance: float = 0.0) -> Whitener:
        """Take mean and covariance of raw features [M, E], in float64. Raises ValueError for too few or equal rows.

        min_variance: directions with less than this share of the largest variance become 0.
        """
        if x.ndim != 2 or x.shape[1] != len(self.mean) or len(x) <= x.shape[1]:
            raise ValueError(
                f"fitting takes more than {len(self.mean)} rows [M, {len(self.mean)}], not {list(x.shape)}"
            )
        x = x.double()
        mean = x.mean(dim=0)
        _, spread, axes = torch.linalg.svd(x - mean, full_matrices=False)  # of rows: half the condition of a covariance
        variances, axes = spread.square() / (len(x) - 1), axes.T
        least = max(min_variance * float(variances[0]), 0.0)
        kept = variances > least
        if not kept.all() and not min_variance:
            raise ValueError("the reference set does not vary in every direction; give min_variance")
        inverse = torch.where(kept, variances.clamp(min=torch.finfo(x.dtype).tiny).rsqrt(), torch.zeros_like(variances))
        self.mean.copy_(mean)
        self.matrix.copy_(axes * inverse)
        return self

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean.to(x.dtype)) @ self.matrix.to(x.dtype)

    def log_likelihood(self, x: Tensor) -> Tensor:
        """[N] of raw features [N, E]: -1/2 (E log 2 pi + |w|^2); comparable under one fit only."""
        w = self(at_least_fp32(x))
        return -0.5 * (w.shape[1] * math.log(2 * math.pi) + w.square().sum(dim=1))


class Whitening(Similarity):
    """Cosine (or dot product) of whitened features, each side by its own transform; the identity until fitted."""

    decomposable = False

    def __init__(self, options: WhiteningOptions):
        super().__init__()
        self.options = options
        self.sides = nn.ModuleList([Whitener(options.dim), Whitener(options.dim)])

    def fit(self, a: Tensor, b: Tensor) -> Whitening:
        """Fit both sides on raw features [M, E] of a reference set."""
        for side, x in zip(self.sides, (a, b)):
            side.fit(x, min_variance=self.options.min_variance)  # type: ignore[operator]
        return self

    def prepare(self, encoding: Encoding, features: Tensor) -> Prepared:
        return {"embedding": at_least_fp32(features)}

    def scores(self, a: Prepared, b: Prepared) -> Tensor:
        x, y = (whiten(side["embedding"]) for whiten, side in zip(self.sides, (a, b)))
        if self.options.normalize:
            x, y = F.normalize(x, dim=-1), F.normalize(y, dim=-1)
        return x @ y.T
