"""FILIP: each token's best match among the other side's tokens, averaged; the directions differ.

Yao et al. 2021, arXiv 2111.07783, equations 4 to 6. `top_k`: the keys that the DeCLIP repository keeps (Cui et al.
2022, arXiv 2203.05796).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from anyclip.similarities.base import Prepared, Similarity
from anyclip.similarities.options import FilipOptions
from anyclip.similarities.tokens import masked_mean, unit_tokens
from anyclip.towers import Encoding


class Filip(Similarity):
    """ab_ij = mean over the tokens p of a_i of max over the tokens q of b_j of a_ip.b_jq; ba likewise.

    Tokens are mapped by each stream's own projection. With `top_k`, only the k tokens of a row that agree most with
    all tokens of its own pair serve as keys; that selection needs whole pairs, so `pair` marks them first.
    """

    decomposable = False
    needs = frozenset({"tokens", "projected"})

    def __init__(self, options: FilipOptions | None = None):
        super().__init__()
        self.options = options or FilipOptions()
        self.paired = self.options.top_k is not None

    def prepare(self, encoding: Encoding, features: Tensor) -> Prepared:
        tokens, mask = unit_tokens(encoding, "filip", normalize=self.options.normalize)
        return {"tokens": tokens, "mask": mask}

    def pair(self, a: Prepared, b: Prepared) -> tuple[Prepared, Prepared]:
        """Mark which tokens may be keys. Row i of a belongs to row i of b."""
        if self.options.top_k is None:
            return a, b
        return {**a, "keys": self._keys(a, b)}, {**b, "keys": self._keys(b, a)}

    def _keys(self, own: Prepared, other: Prepared) -> Tensor:
        """[N, T] bool: the `top_k` tokens with the largest sum of similarities with the other side's tokens."""
        assert self.options.top_k is not None
        with torch.no_grad():
            whole = (other["tokens"] * other["mask"][..., None].to(other["tokens"].dtype)).sum(dim=1)
            agreement = torch.einsum("npw,nw->np", own["tokens"], whole).masked_fill(~own["mask"], -math.inf)
            best = agreement.topk(min(self.options.top_k, agreement.shape[1]), dim=1).indices
            return torch.zeros_like(own["mask"]).scatter(1, best, True) & own["mask"]

    def scores(self, a: Prepared, b: Prepared) -> tuple[Tensor, Tensor]:
        every = torch.einsum("apw,bqw->abpq", a["tokens"], b["tokens"])
        keys_a, keys_b = a.get("keys", a["mask"]), b.get("keys", b["mask"])
        best_ab = every.masked_fill(~keys_b[None, :, None], -math.inf).amax(3)
        best_ba = every.masked_fill(~keys_a[:, None, :, None], -math.inf).amax(2)
        ab = masked_mean(best_ab, a["mask"][:, None].expand_as(best_ab), 2)
        ba = masked_mean(best_ba, b["mask"][None].expand_as(best_ba), 2)
        return ab, ba.T
