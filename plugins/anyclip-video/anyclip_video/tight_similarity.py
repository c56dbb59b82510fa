"""`clip4clip_tight`: a transformer reads a sentence together with the frames of a video and scores the two.

Luo et al. 2021 (CLIP4Clip), arXiv 2104.08860, section 3.3 (tight type).
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from anyclip.errors import UserError
from anyclip.similarities import Prepared, Similarity
from anyclip.similarities.tokens import at_least_fp32, unit_tokens
from anyclip.towers import Encoding
from anyclip_video.blocks import EPS, Block, QuickGELU, first_weights, heads_of
from anyclip_video.pair_chunks import scored_in_chunks
from anyclip_video.tower_options import TightOptions


class TightSimilarity(Similarity):
    """[sentence; frames] with learned positions through blocks; the first token makes the score. Rerank only.

    The first stream gives the sentence (its features), the second frames (its tokens, mapped by its own projection):
    `pair: [text, video]`. Nothing is normalised, and the origin has no scale: `scale: {init: 1, learn: false}`.
    """

    decomposable = False
    needs = frozenset({"embedding", "tokens", "projected"})

    def __init__(self, options: TightOptions):
        super().__init__()
        self.options = options
        heads = heads_of(options.dim, options.heads)
        if options.dim % heads:
            raise UserError(f"clip4clip_tight: heads: the width {options.dim} does not divide by {heads}.")
        self.positions = nn.Embedding(options.positions, options.dim)
        self.dropout = nn.Dropout(options.dropout)
        self.blocks = nn.ModuleList(Block(options.dim, heads) for _ in range(options.layers))
        self.pooler = nn.Sequential(
            OrderedDict(
                [
                    ("norm", nn.LayerNorm(options.dim, eps=EPS)),
                    ("dense", nn.Linear(options.dim, options.dim)),
                    ("gelu", QuickGELU()),
                ]
            )
        )
        self.out = nn.Linear(options.dim, 1)
        first_weights(self)

    def prepare(self, encoding: Encoding, features: Tensor) -> Prepared:
        sentence = at_least_fp32(features)
        if encoding.tokens is None:  # the sentence's side needs none
            return {"sentence": sentence, "frames": sentence[:, None], "mask": sentence.new_ones(len(sentence), 1) > 0}
        frames, mask = unit_tokens(encoding, "clip4clip_tight", normalize=False)
        return {"sentence": sentence, "frames": frames, "mask": mask}

    def scores(self, a: Prepared, b: Prepared) -> Tensor:
        frames, mask = b["frames"], b["mask"]
        if 1 + frames.shape[1] > self.options.positions:
            raise UserError(
                f"clip4clip_tight: a row has {frames.shape[1]} frames, the table {self.options.positions} positions.",
                hint=f"Set the option positions to {1 + frames.shape[1]} or more.",
            )

        def score(i: Tensor, j: Tensor) -> Tensor:
            x = torch.cat([a["sentence"][i][:, None], frames[j]], dim=1)
            seen = torch.cat([mask.new_ones(len(i), 1), mask[j]], dim=1)
            return self.joint(x, seen)

        def stand_in() -> Tensor:
            return self.joint(frames.new_zeros(1, 2, frames.shape[2]), mask.new_ones(1, 2))

        return scored_in_chunks(score, stand_in, ([a["sentence"]], [frames]), self.options.chunk)

    def joint(self, x: Tensor, mask: Tensor) -> Tensor:
        """Sequences [n, 1 + T, E] with mask [n, 1 + T] -> scores [n]."""
        x = self.dropout(x + self.positions.weight[: x.shape[1]])
        for block in self.blocks:
            x = block(x, mask)
        return self.out(self.pooler(x[:, 0]))[:, 0]
