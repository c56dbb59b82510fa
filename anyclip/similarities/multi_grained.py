"""X-CLIP: sentence and words against video and frames, on four grains, with learned attention over similarities.

Ma et al. 2022, arXiv 2207.07285, section 3.3 (AOSM).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anyclip.similarities.base import Prepared, Similarity
from anyclip.similarities.options import MultiGrainedOptions
from anyclip.similarities.tokens import at_least_fp32, padded, unit_mean, unit_tokens
from anyclip.towers import Encoding


class MultiGrained(Similarity):
    """Mean of sentence-video, words-video, sentence-frames and words-frames similarities.

    The first stream gives the sentence (its features) and words (its tokens), the second frames (its tokens) and the
    video (their masked mean, or its features): `pair: [text, video]`. Padding takes part in the attention, by default
    as zeros. The learned matrices begin as identities; they act on attention weights from the right.
    """

    decomposable = False
    needs = frozenset({"embedding", "tokens", "projected"})

    def __init__(self, options: MultiGrainedOptions):
        super().__init__()
        self.options = options
        sizes = {"dim": options.dim, "words": options.words, "frames": options.frames}
        self.whole = _eye(sizes["dim"])  # sentence x video
        self.local = _eye(sizes["dim"])  # words x frames
        self.words_video, self.frames_sentence = _eye(sizes["words"]), _eye(sizes["frames"])
        self.words_inner, self.frames_inner = _eye(sizes["words"]), _eye(sizes["frames"])
        self.words_outer, self.frames_outer = _eye(sizes["words"]), _eye(sizes["frames"])

    def prepare(self, encoding: Encoding, features: Tensor) -> Prepared:
        tokens, mask = unit_tokens(encoding, "multi_grained")
        shown = tokens * mask[..., None].to(tokens.dtype) if self.options.mask else tokens
        embedding = F.normalize(at_least_fp32(features), dim=-1)
        whole = embedding if self.options.video == "features" else unit_mean(tokens, mask)
        return {"embedding": embedding, "tokens": shown, "mean": whole}

    def scores(self, a: Prepared, b: Prepared) -> Tensor:
        return torch.stack(list(self.parts(a, b).values())).mean(dim=0)

    def parts(self, a: Prepared, b: Prepared) -> dict[str, Tensor]:
        """The four similarities, each [Na, Nb]: sentence-video, words-video, sentence-frames, words-frames."""
        words, frames = padded(a, "tokens", self.options.words), padded(b, "tokens", self.options.frames)
        sentence, video = a["embedding"], b["mean"]
        coarse = sentence @ self.whole @ video.T
        by_words = self._attend(torch.einsum("awd,bd->abw", words, video), self.words_video)
        by_frames = self._attend(torch.einsum("ad,bfd->abf", sentence, frames), self.frames_sentence)
        fine = self._fine(words, frames)
        return {"whole": coarse, "words_video": by_words, "sentence_frames": by_frames, "words_frames": fine}

    def _fine(self, words: Tensor, frames: Tensor) -> Tensor:
        every = torch.einsum("awd,bfd->abwf", words @ self.local, frames)
        per_frame = self._attend(every.transpose(2, 3), self.words_inner)  # [a, b, f]
        per_word = self._attend(every, self.frames_inner)  # [a, b, w]
        return (self._attend(per_frame, self.frames_outer) + self._attend(per_word, self.words_outer)) / 2

    def _attend(self, scores: Tensor, matrix: Tensor) -> Tensor:
        """Sum over the last axis, weighted by softmax(scores / temperature) @ matrix."""
        return ((scores / self.options.temperature).softmax(dim=-1) @ matrix * scores).sum(dim=-1)


def _eye(n: int) -> nn.Parameter:
    return nn.Parameter(torch.eye(n))
