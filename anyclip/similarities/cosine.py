"""Dot products, on the unit sphere or of raw features."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from anyclip.similarities.base import Prepared, Similarity
from anyclip.towers import Encoding


class Cosine(Similarity):
    """Dot product of unit vectors."""

    def prepare(self, encoding: Encoding, features: Tensor) -> Prepared:
        return {"embedding": F.normalize(_at_least_fp32(features), dim=-1)}

    def scores(self, a: Prepared, b: Prepared) -> Tensor:
        return a["embedding"] @ b["embedding"].T


class Dot(Cosine):
    """Dot product of features as they are."""

    def prepare(self, encoding: Encoding, features: Tensor) -> Prepared:
        return {"embedding": _at_least_fp32(features)}


def _at_least_fp32(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
