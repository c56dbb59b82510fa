"""The interface of a loss on a pair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anyclip.distributed import world_size

Prepared = dict[str, Tensor]  # what a similarity compares: name -> [N, ...]
Score = Callable[[Prepared, Prepared], "Tensor | tuple[Tensor, Tensor]"]


class Candidates(NamedTuple):
    """All candidates of one side, [M, ...] each; `own` [n]: which of them are of the complete rows, in their order."""

    side: Prepared
    own: Tensor


class Loss(nn.Module):
    """A function of one pair's scores.

    Subclasses define `from_scores`; `share` may be overridden so that no process holds all the scores.
    default_scale, default_bias: used when the caller names none; `create_loss` sets those of the spec.
    min_rows: with fewer complete rows in the global batch the pair gives 0.
    fields: extra columns of the batch that the formula reads; `share` gets each by name, for the complete rows.
    wide: it takes candidates that belong to no complete row (`negatives: modality | all`), in `wide_share`.
    """

    default_scale: float = 1.0
    default_bias: float | None = None
    min_rows: int = 2
    fields: tuple[str, ...] = ()
    wide: bool = False

    def __init__(self, options: Any = None):
        super().__init__()
        self.options = options

    def forward(
        self,
        a: Tensor,
        b: Tensor,
        *,
        scale: Tensor | float | None = None,
        bias: Tensor | float | None = None,
        **fields: Any,
    ) -> Tensor:
        """The loss of two plain batches of embeddings [N, E] whose rows belong together, in one process.

        The scores are dot products: unit vectors give cosines. fields: labels and the like, as the loss takes them.
        """
        if a.ndim != 2 or a.shape != b.shape:
            raise ValueError(f"a loss takes two [N, E] tensors of one shape, got {list(a.shape)} and {list(b.shape)}")
        a, b = at_least_fp32(a), at_least_fp32(b)
        scale = self.default_scale if scale is None else scale
        bias = self.default_bias if bias is None else bias
        with torch.autocast(a.device.type, enabled=False):
            inputs = self.prepare({"embedding": a}), self.prepare({"embedding": b})
            tiled = self.tiled(*inputs, slice(0, len(a)), scale=scale, bias=bias)
            if tiled is not None:
                return tiled
            scores = inputs[0]["embedding"] @ inputs[1]["embedding"].T
            return self.from_scores(scores, scores.T, scale=scale, bias=bias, **fields)

    def from_scores(
        self, ab: Tensor, ba: Tensor, *, scale: Tensor | float, bias: Tensor | float | None = None, **fields: Any
    ) -> Tensor:
        """The loss of whole score matrices [N, N], unscaled; ba is ab.T unless the directions differ."""
        raise NotImplementedError(f"{type(self).__name__} does not define from_scores")

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
        """This process's part of the loss of the complete rows of all processes; the parts add up to it.

        a, b: gathered rows, [N, ...] each. local: this process's rows among them. score: see `Similarity.scores`.
        """
        ab, ba = both_directions(score(self.prepare(a), self.prepare(b)))
        return self.from_scores(ab, ba, scale=scale, bias=bias, **fields) / world_size()

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
        """As `share`, where each side has more candidates than there are complete rows. Only with `wide`."""
        raise NotImplementedError(f"{type(self).__name__} compares complete rows only")

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
        """As `share` of prepared sides, without a score matrix; None where the plain formula is to be used.

        score: None stands for dot products in one process.
        """
        return None

    def prepare(self, side: Prepared) -> Prepared:
        """Normalise embeddings again where the option `normalize_inputs` asks for it."""
        if getattr(self.options, "normalize_inputs", False) and "embedding" in side:
            return {**side, "embedding": F.normalize(side["embedding"], dim=-1)}
        return side


def both_directions(scores: Tensor | tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """([Na, Nb], [Nb, Na]) of what a similarity returned."""
    return scores if isinstance(scores, tuple) else (scores, scores.T)


def take(side: Prepared, rows: slice) -> Prepared:
    """Some rows of one side."""
    return {name: tensor[rows] for name, tensor in side.items()}


def at_least_fp32(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
