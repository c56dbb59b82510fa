"""One vector against the mean of many: a sentence and the frames of a video.

Luo et al. 2021 (CLIP4Clip, meanP), arXiv 2104.08860, section 3.3.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from anyclip.similarities.base import Prepared, Similarity
from anyclip.similarities.tokens import at_least_fp32, unit_mean, unit_tokens
from anyclip.towers import Encoding


class FrameMean(Similarity):
    """Cosine of the first stream's features and the mean of the second stream's unit tokens.

    Tokens are mapped by the stream's own projection; masked ones do not count. The order of the pair tells which is
    which: `pair: [text, video]`.
    """

    decomposable = False
    needs = frozenset({"embedding", "tokens", "projected"})

    def prepare(self, encoding: Encoding, features: Tensor) -> Prepared:
        embedding = F.normalize(at_least_fp32(features), dim=-1)
        if encoding.tokens is None:
            return {"embedding": embedding, "mean": embedding}
        return {"embedding": embedding, "mean": unit_mean(*unit_tokens(encoding, "frame_mean"))}

    def scores(self, a: Prepared, b: Prepared) -> Tensor:
        return a["embedding"] @ b["mean"].T
