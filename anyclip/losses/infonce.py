"""InfoNCE: a softmax over all candidates, in both directions, and the family around it.

Radford et al. 2021 (CLIP), arXiv 2103.00020, figure 3; label smoothing and the sum of directions: Jia et al. 2021
(ALIGN), arXiv 2102.05918; weighted directions: Zhang et al. 2020 (ConVIRT), arXiv 2010.00747, equation 4; several
positives: Yang et al. 2022 (UniCL), arXiv 2204.03610; decoupled: Yeh et al. 2021 (DCL), arXiv 2110.06848; margin and
masked ids: Shih et al. 2022 (SpeechCLIP), arXiv 2210.00705; hard negatives: Radenovic et al. 2023 (DiHT), arXiv
2301.02280, section 3.3, and Robinson et al. 2020 (HCL), arXiv 2010.04592; sample weights: Wu et al. 2022 (LAION-CLAP),
arXiv 2211.06687, and Guzhov et al. 2021 (AudioCLIP), arXiv 2106.13043.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from anyclip.losses.base import Candidates, Loss, Prepared, Score, at_least_fp32, both_directions, take
from anyclip.losses.options import InfoNCEOptions, direction_weights
from anyclip.losses.softmax import Rows, softmax_terms
from anyclip.losses.tiled import plan, tiled_softmax
from anyclip.losses.wide import wide_softmax


class InfoNCE(Loss):
    """Mean over rows of `softmax_terms`, in both directions, with logits = scale * scores (+ bias).

    Without options: mean_i [ logsumexp_j L_ij - L_ii ], averaged over the directions; a bias cancels.
    fields: `labels` [N] with `multi_positive`, `ids` [N] with `mask_same_id`, `sample_weights` [N] with that option.
    """

    default_scale = 1 / 0.07
    min_rows = 2

    def __init__(self, options: InfoNCEOptions | None = None):
        super().__init__(options or InfoNCEOptions())
        wanted = {"labels": "multi_positive", "ids": "mask_same_id", "sample_weights": "sample_weights"}
        self.fields = tuple(field for field, option in wanted.items() if getattr(self.options, option))

    @property
    def direction_weights(self) -> tuple[float, float]:
        return direction_weights(self.options.direction_reduction)

    @property
    def plain(self) -> bool:
        """Whether the options are those of a plain cross entropy: directions and label smoothing at most."""
        o = self.options
        alike = o.positive_weight == 1 and o.hardness is None and not (o.margin or o.multi_positive or o.mask_same_id)
        return alike and o.sample_weighting is None and not o.sample_weights

    def forward(self, a: Tensor, b: Tensor, **settings: Any) -> Tensor:
        """As `Loss.forward`; `sample_weighting` reads the embeddings beside their scores."""
        if self.options.sample_weighting is not None and a.shape == b.shape:
            first, second = (self.prepare({"embedding": at_least_fp32(x)}) for x in (a, b))
            settings["weights"] = self._weights(first, second, settings)
        return super().forward(a, b, **settings)

    def from_scores(
        self, ab: Tensor, ba: Tensor, *, scale: Tensor | float, bias: Tensor | float | None = None, **fields: Any
    ) -> Tensor:
        if self.options.sample_weighting is not None and "weights" not in fields:
            raise ValueError("sample_weighting needs embeddings, not scores alone")
        fields.setdefault("weights", self._weights({}, {}, fields))
        return self._add(ab, ba, slice(0, len(ab)), len(ab), scale, bias, fields)

    def share(
        self,
        a: Prepared,
        b: Prepared,
        local: slice,
        *,
        score: Score,
        scale: Tensor | float,
        bias: Tensor | float | None = None,
        **fields: Any,
    ) -> Tensor:
        """Own rows against all columns, in each direction: at most [n_local, N] scores twice, or tile by tile."""
        a, b = self.prepare(a), self.prepare(b)
        tiled = self.tiled(a, b, local, score=score, scale=scale, bias=bias)
        if tiled is not None:
            return tiled
        fields["weights"] = self._weights(a, b, fields)
        n = len(next(iter(a.values())))
        if local.stop - local.start == n:
            ab, ba = both_directions(score(a, b))
        else:
            ab = both_directions(score(take(a, local), b))[0]
            ba = both_directions(score(a, take(b, local)))[1]
        return self._add(ab, ba, local, n, scale, bias, fields)

    def tiled(
        self,
        a: Prepared,
        b: Prepared,
        local: slice,
        *,
        score: Score | None = None,
        scale: Tensor | float,
        bias: Tensor | float | None = None,
    ) -> Tensor | None:
        if not self.plain or type(self) is not InfoNCE:  # a subclass may have another formula
            return None
        tiles = plan(self.options, a, b, local, score)
        if tiles is None:
            return None
        weights, smoothing = self.direction_weights, self.options.label_smoothing
        return tiled_softmax(
            a, b, local, scale=scale, bias=bias, weights=weights, label_smoothing=smoothing, tiles=tiles
        )

    @property
    def wide(self) -> bool:  # type: ignore[override]
        return self.plain

    def wide_share(
        self,
        a: Candidates,
        b: Candidates,
        local: slice,
        *,
        score: Score,
        scale: Tensor | float,
        bias: Tensor | float | None = None,
    ) -> Tensor:
        first, second = (Candidates(self.prepare(side), own) for side, own in (a, b))
        weights, smoothing = self.direction_weights, self.options.label_smoothing
        return wide_softmax(
            first, second, local, score=score, scale=scale, bias=bias, weights=weights, label_smoothing=smoothing
        )

    def _weights(self, a: Prepared, b: Prepared, fields: dict[str, Any]) -> list[Tensor | None]:
        """Weights of all N samples for each direction, or None."""
        if self.options.sample_weights:
            return [fields["sample_weights"]] * 2
        weighting = self.options.sample_weighting
        if weighting is None:
            return [None, None]
        sides = {"a": a, "b": b}
        if any("embedding" not in side for side in sides.values()):
            raise ValueError("sample_weighting needs a similarity that compares embeddings, such as cosine")
        return [_centrality(sides[side]["embedding"], weighting.kappa) for side in weighting.by]

    def _add(
        self,
        ab: Tensor,
        ba: Tensor,
        rows: slice,
        n: int,
        scale: Tensor | float,
        bias: Tensor | float | None,
        fields: dict[str, Any],
    ) -> Tensor:
        columns = torch.arange(rows.start, rows.stop, device=ab.device)
        labels = fields.get("labels") if self.options.multi_positive else fields.get("ids")
        keys = (labels[rows], labels) if self.fields and labels is not None else None
        total = ab.new_zeros(())
        for direction, scores, weights in zip(self.direction_weights, (ab, ba), fields["weights"]):
            if not direction:
                continue
            logits = scores * scale if bias is None else scores * scale + bias
            terms = softmax_terms(Rows(logits, columns, keys, scale), self.options)
            mean = terms.sum() / n if weights is None else (weights[rows] * terms).sum() / weights.sum()
            total = total + direction * mean
        return total


def _centrality(x: Tensor, kappa: float) -> Tensor:
    """exp(mean_j x_i.x_j / kappa) of all rows [N], without gradient."""
    x = x.detach()
    return (x @ x.mean(dim=0) / kappa).exp()
