"""Zero-shot classification: the nearest class by its prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from anyclip.data.prompts import filled, read_prompts
from anyclip.errors import UserError
from anyclip.evaluation.base import Evaluation, Result
from anyclip.evaluation.classification import check_label, labelled_vectors, measure, only_stream, worst_classes
from anyclip.evaluation.precision import matmul_precision
from anyclip.inference import embed_values
from anyclip.registry import get_registry

if TYPE_CHECKING:
    from anyclip.evaluation.data import EvalData
    from anyclip.model import JointModel

_FALLBACK = ("{}",)


class ZeroShot(Evaluation):
    """Accuracy of the class whose embedding is nearest.

    A class is embedded by its prompts: each sentence on the unit sphere, averaged, normalised again (Radford et al.
    2021, section 3.1.4). Top-1 and top-5 accuracy over rows, mean over classes; a tie with the right class counts as
    half a place, as in retrieval.
    """

    name: ClassVar[str] = "zero_shot"

    def run(self, model: JointModel, data: EvalData) -> Result:
        options = self.options
        stream, prompt_stream = self._streams(model, data)
        limits = {"limit": options.max_rows, "batch_size": options.batch_size}
        vectors, labels, _ = labelled_vectors(data, stream, options.label, **limits)
        names = self._classes(labels)
        keep, truth = of_classes(labels, names)
        result = Result(self.name, {}, info=self._info(data, stream, prompt_stream, names, len(keep), len(labels)))
        if not keep or not names:
            return result
        prompts = self._embedded(model, data, prompt_stream, self._prompts(data, stream, names))
        with matmul_precision("highest"):
            scores = vectors[keep] @ torch.stack([mean_direction(part) for part in prompts]).T
        self._measure(result, stream, scores, truth, names)
        return result

    def _measure(self, result: Result, stream: str, scores: Tensor, truth: Tensor, names: list[str]) -> None:
        """Accuracies of scores [N, C] against the right classes [N], and the worst classes."""
        place, guess = _places(scores, truth)
        hits = {"top1": place <= 1, **({"top5": place <= 5} if len(names) > 5 else {})}
        measure(
            result,
            stream,
            {k: v.astype(np.float64) for k, v in hits.items()},
            truth.numpy(),
            {"top1": 1 / len(names), "top5": min(1.0, 5 / len(names))},
            resamples=self.options.bootstrap,
            seed=self.options.seed,
        )
        result.examples = worst_classes(names, truth.numpy(), guess, self.options.worst)

    def _info(self, data, stream, prompt_stream, names, used, labelled):
        edge = data.edge(stream, prompt_stream)
        return {
            "dataset": data.name,
            "pair": [stream, prompt_stream],
            "trained": edge is not None,
            "classes": len(names),
            "rows": used,
            "rows_of_other_classes": labelled - used,
        }

    def _streams(self, model: JointModel, data: EvalData) -> tuple[str, str]:
        """The stream to classify and the one that embeds the prompts."""
        check_label(data, self.options.label, self.name)
        texts = [s for s in model.streams if data.is_text(s)]
        if self.options.prompt_stream is not None:
            texts = list(model.streams)
        prompt_stream = only_stream(data, texts, self.options.prompt_stream, self.name, "prompt_stream")
        others = [s for s in data.streams if s != prompt_stream]
        return only_stream(data, others, self.options.stream, self.name, "stream"), prompt_stream

    def _classes(self, labels: list) -> list[str]:
        if self.options.classes is not None:
            return list(self.options.classes)
        return sorted({str(label) for label in labels})

    def _prompts(self, data: EvalData, stream: str, names: list[str]) -> list[list[str]]:
        """Sentences of each class."""
        if self.options.prompts is not None:
            return read_prompts(Path(data.base or "") / self.options.prompts, names)
        spec = get_registry().modality(data.modality(stream))
        return filled(self.options.templates or spec.prompts or _FALLBACK, names)

    def _embedded(self, model: JointModel, data: EvalData, stream: str, prompts: list[list[str]]) -> list[Tensor]:
        """Unit vectors [S, E] of each class's sentences; every process embeds all prompts."""
        flat = [sentence for sentences in prompts for sentence in sentences]
        embedded = embed_values(model, stream, flat, batch_size=self.options.batch_size)
        if embedded.errors:
            position, reason = embedded.errors[0]
            raise UserError(
                f"{self.name}: the prompt {flat[position]!r} cannot be embedded: {reason}.", where=data.name
            )
        return list(embedded.vectors.split([len(sentences) for sentences in prompts]))


def of_classes(labels: list, names: list[str]) -> tuple[list[int], Tensor]:
    """(positions of the labels that are one of the classes, the number of the class of each)."""
    number = {name: i for i, name in enumerate(names)}
    keep = [k for k, label in enumerate(labels) if str(label) in number]
    return keep, torch.tensor([number[str(labels[k])] for k in keep], dtype=torch.long)


def mean_direction(vectors: Tensor) -> Tensor:
    """Unit vectors [S, E] -> the unit vector of their mean [E]."""
    return F.normalize(vectors.mean(dim=0), dim=-1)


def _places(scores: Tensor, truth: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(rank of the right class [N], with ties half; the nearest class [N]).

    Scores within 1e-6 are tied: classes of equal prompts must not win by the order of a sum.
    """
    gap = scores - scores.gather(1, truth[:, None])
    gap.scatter_(1, truth[:, None], -torch.inf)
    place = 1 + (gap > 1e-6).sum(1) + 0.5 * (gap.abs() <= 1e-6).sum(1)
    return place.numpy(), scores.argmax(1).numpy()
