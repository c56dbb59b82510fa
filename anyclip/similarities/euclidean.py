"""Distances of features that lie on no sphere, and the angle of those that do.

Chou & Alam 2024 (EuCLIP), arXiv 2409.13079.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from anyclip.similarities.base import Prepared, Similarity
from anyclip.similarities.options import EllipticOptions, EuclideanOptions
from anyclip.similarities.tokens import at_least_fp32
from anyclip.towers import Encoding


class Euclidean(Similarity):
    """Minus the (squared) distance of scaled raw features."""

    decomposable = False
    geometry = "euclidean"

    def __init__(self, options: EuclideanOptions | None = None):
        super().__init__()
        self.options = options or EuclideanOptions()

    def prepare(self, encoding: Encoding, features: Tensor) -> Prepared:
        factor = self.options.feature_scale
        factor = features.shape[-1] ** -0.5 if isinstance(factor, str) else factor
        return {"embedding": at_least_fp32(features) * factor}

    def scores(self, a: Prepared, b: Prepared) -> Tensor:
        x, y = a["embedding"], b["embedding"]
        squared = x.square().sum(1)[:, None] - 2 * x @ y.T + y.square().sum(1)[None]
        if self.options.squared:
            return -squared
        # the root has no slope at 0; rounding may also leave equal points slightly below it
        return -squared.clamp(min=torch.finfo(squared.dtype).eps).sqrt()


class Elliptic(Similarity):
    """Minus the angle of unit vectors, in radians."""

    decomposable = False
    geometry = "elliptic"

    def __init__(self, options: EllipticOptions | None = None):
        super().__init__()
        self.options = options or EllipticOptions()

    def prepare(self, encoding: Encoding, features: Tensor) -> Prepared:
        features = at_least_fp32(features)
        return {"embedding": F.normalize(features, dim=-1) if self.options.normalize else features}

    def scores(self, a: Prepared, b: Prepared) -> Tensor:
        cosine = a["embedding"] @ b["embedding"].T
        edge = 1 - 4 * torch.finfo(cosine.dtype).eps  # the slope of acos is infinite at 1
        return -cosine.clamp(-edge, edge).acos()
