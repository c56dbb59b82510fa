"""Zero-shot classification with weights of tokens and one sentence of each class, searched on other rows.

The search of view weights is that of PointCLIP (Zhang et al. 2022, arXiv 2112.02413) and PointCLIP V2 (Zhu et al. 2023,
arXiv 2211.11682), the search of prompts that of V2; there they run on the rows that are measured, here never.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from anyclip.errors import UserError
from anyclip.evaluation.base import Result
from anyclip.evaluation.classification import labelled_vectors
from anyclip.evaluation.precision import matmul_precision
from anyclip.evaluation.searching import accuracy, search_sentences, search_weights
from anyclip.evaluation.zero_shot import ZeroShot, mean_direction, of_classes
from anyclip.similarities import Prepared, Similarity
from anyclip.similarities.tokens import at_least_fp32
from anyclip.towers import Encoding

if TYPE_CHECKING:
    from anyclip.evaluation.data import EvalData
    from anyclip.model import JointModel


class Tokens(Similarity):
    """Tokens [B, T, E] as the stream's projection gives them; the features where a tower has no tokens."""

    decomposable = False
    needs = frozenset({"embedding", "tokens", "projected"})

    def prepare(self, encoding: Encoding, features: Tensor) -> Prepared:
        if encoding.tokens is None:
            return {"embedding": at_least_fp32(features)[:, None]}
        if encoding.mask is not None and not bool(encoding.mask.all()):
            raise UserError("zero_shot_search: the stream's values have tokens of different number.")
        return {"embedding": at_least_fp32(encoding.tokens)}


class ZeroShotSearch(ZeroShot):
    """As `zero_shot`, of a weighted sum of the tokens, with what a search on other rows found.

    For towers whose vector is a weighted sum of a fixed number of tokens (views). The weights and sentences found, and
    the accuracy before, are in `info`.
    """

    name: ClassVar[str] = "zero_shot_search"

    def run(self, model: JointModel, data: EvalData) -> Result:
        stream, prompt_stream = self._streams(model, data)
        (tokens, labels), (other, other_labels) = self._rows(data, stream)
        names = self._classes([*labels, *other_labels])
        (keep, truth), (found, other_truth) = of_classes(labels, names), of_classes(other_labels, names)
        result = Result(self.name, {}, info=self._info(data, stream, prompt_stream, names, len(keep), len(labels)))
        if not keep or not found:
            return result
        prompts = self._prompts(data, stream, names)
        vectors = self._embedded(model, data, prompt_stream, prompts)
        with matmul_precision("highest"):
            weights, chosen = self._search(result, other[found], other_truth, vectors)
            prototypes = chosen_vectors(vectors, chosen)
            scores = F.normalize(weighted(tokens[keep], weights), dim=-1) @ prototypes.T
            plain = F.normalize(tokens[keep].sum(dim=1), dim=-1) @ chosen_vectors(vectors, [-1] * len(names)).T
        self._measure(result, stream, scores, truth, names)
        result.numbers[f"{stream}/top1_before"] = accuracy(plain, truth)
        result.chance[f"{stream}/top1_before"] = 1 / len(names)
        if "prompts" in self.options.search:
            texts = {name: sentences[k] for name, sentences, k in zip(names, prompts, chosen) if k >= 0}
            result.info["prompts"] = texts
        return result

    def _search(self, result: Result, tokens: Tensor, truth: Tensor, vectors: list[Tensor]) -> tuple[Tensor, list[int]]:
        """The weights [T] and each class's sentence (-1: the mean of all), found part after part."""
        options = self.options
        weights, chosen = torch.ones(tokens.shape[1]), [-1] * len(vectors)
        before = accuracy(weighted(tokens, weights) @ chosen_vectors(vectors, chosen).T, truth)
        for part in options.search:
            if part == "prompts":
                chosen = search_sentences(weighted(tokens, weights), truth, vectors, chosen, options.passes)
            else:
                scores = tokens @ chosen_vectors(vectors, chosen).T
                limits = {"exhaustive": options.exhaustive, "starts": options.starts, "seed": options.seed}
                weights = search_weights(scores, truth, options.weights, weights, **limits)
        after = accuracy(weighted(tokens, weights) @ chosen_vectors(vectors, chosen).T, truth)
        result.info |= {"searched_rows": len(truth), "searched_top1": [before, after], "weights": weights.tolist()}
        return weights, chosen

    def _rows(self, data: EvalData, stream: str) -> tuple[tuple[Tensor, list], tuple[Tensor, list]]:
        """Tokens [N, T, E] and labels of the rows that are measured, and of those that are searched."""
        options = self.options
        tokens, labels = self._labelled(data, stream, options.max_rows)
        if options.holdout is not None:
            order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(options.seed)).tolist()
            cut = round(options.holdout * len(labels))
            parts = [sorted(part) for part in (order[cut:], order[:cut])]
            measured, searched = ((tokens[part], [labels[k] for k in part]) for part in parts)
            return measured, searched
        others = [
            self._labelled(source, stream, options.max_train)
            for source in data.train()
            if stream in source.streams and options.label in source.fields
        ]
        if not any(found for _, found in others):
            raise UserError(
                f"{self.name}: no training dataset holds both the stream {stream!r} and the field {options.label!r}.",
                where=data.name,
                hint="Name one under data.train, or search on a share of the validation rows: `options: "
                "{holdout: 0.5}`.",
            )
        return (tokens, labels), (torch.cat([x for x, _ in others]), [k for _, found in others for k in found])

    def _labelled(self, data: EvalData, stream: str, limit: int | None) -> tuple[Tensor, list]:
        size = self.options.batch_size
        tokens, labels, _ = labelled_vectors(
            data, stream, self.options.label, limit=limit, batch_size=size, similarity=Tokens()
        )
        return tokens, labels


def weighted(tokens: Tensor, weights: Tensor) -> Tensor:
    """[N, T, E] and [T] -> [N, E]."""
    return torch.einsum("nte,t->ne", tokens, weights)


def chosen_vectors(vectors: list[Tensor], chosen: list[int]) -> Tensor:
    """[C, E]: of each class the vector of one sentence, or the mean direction of all (-1)."""
    return torch.stack([mean_direction(part) if k < 0 else part[k] for part, k in zip(vectors, chosen)])
