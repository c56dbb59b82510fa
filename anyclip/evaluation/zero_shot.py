"""Zero-shot classification: the nearest class by its prompts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

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

    def run(self, model: JointModel, data: EvalData) -> Result:
        options = self.options
        check_label(data, options.label, "zero_shot")
        prompt_stream = self._prompt_stream(model, data)
        stream = only_stream(
            data, [s for s in data.streams if s != prompt_stream], options.stream, "zero_shot", "stream"
        )
        vectors, labels, _ = labelled_vectors(
            data, stream, options.label, limit=options.max_rows, batch_size=options.batch_size
        )
        names = self._classes(data, labels)
        known = {name: i for i, name in enumerate(names)}
        keep = [k for k, label in enumerate(labels) if str(label) in known]
        truth = np.array([known[str(labels[k])] for k in keep], dtype=np.int64)
        result = Result("zero_shot", {}, info=self._info(data, stream, prompt_stream, names, len(keep), len(labels)))
        if not keep or not names:
            return result
        prototypes = self._prototypes(model, data, prompt_stream, self._prompts(data, stream, names))
        with matmul_precision("highest"):
            scores = vectors[keep] @ prototypes.T
        place, guess = _places(scores, torch.from_numpy(truth))
        hits = {"top1": place <= 1, **({"top5": place <= 5} if len(names) > 5 else {})}
        measure(
            result,
            stream,
            {k: v.astype(np.float64) for k, v in hits.items()},
            truth,
            {"top1": 1 / len(names), "top5": min(1.0, 5 / len(names))},
            resamples=options.bootstrap,
            seed=options.seed,
        )
        result.examples = worst_classes(names, truth, guess, options.worst)
        return result

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

    def _prompt_stream(self, model: JointModel, data: EvalData) -> str:
        texts = [s for s in model.streams if data.is_text(s)]
        if self.options.prompt_stream is not None:
            texts = list(model.streams)
        return only_stream(data, texts, self.options.prompt_stream, "zero_shot", "prompt_stream")

    def _classes(self, data: EvalData, labels: list) -> list[str]:
        if self.options.classes is not None:
            return list(self.options.classes)
        return sorted({str(label) for label in labels})

    def _prompts(self, data: EvalData, stream: str, names: list[str]) -> list[list[str]]:
        """Sentences of each class."""
        if self.options.prompts is not None:
            return _read_prompts(Path(data.base or "") / self.options.prompts, names)
        spec = get_registry().modality(data.modality(stream))
        templates = self.options.templates or spec.prompts or _FALLBACK
        spoken = [name.replace("_", " ") for name in names]
        return [[template.replace("{}", name) for template in templates] for name in spoken]

    def _prototypes(self, model: JointModel, data: EvalData, stream: str, prompts: list[list[str]]) -> Tensor:
        """[C, E] unit vectors; every process embeds all prompts."""
        flat = [sentence for sentences in prompts for sentence in sentences]
        embedded = embed_values(model, stream, flat, batch_size=self.options.batch_size)
        if embedded.errors:
            position, reason = embedded.errors[0]
            raise UserError(f"zero_shot: the prompt {flat[position]!r} cannot be embedded: {reason}.", where=data.name)
        parts = embedded.vectors.split([len(sentences) for sentences in prompts])
        return F.normalize(torch.stack([part.mean(0) for part in parts]), dim=-1)


def _places(scores: Tensor, truth: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(rank of the right class [N], with ties half; the nearest class [N]).

    Scores within 1e-6 are tied: classes of equal prompts must not win by the order of a sum.
    """
    gap = scores - scores.gather(1, truth[:, None])
    gap.scatter_(1, truth[:, None], -torch.inf)
    place = 1 + (gap > 1e-6).sum(1) + 0.5 * (gap.abs() <= 1e-6).sum(1)
    return place.numpy(), scores.argmax(1).numpy()


def _read_prompts(path: Path, names: list[str]) -> list[list[str]]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"the prompts cannot be read: {error}.", where=str(path)) from error
    wrong = not isinstance(table, dict) or [k for k, v in table.items() if not _sentences(v)]
    if wrong:
        raise UserError("prompts are a JSON object: class -> list of sentences.", where=str(path))
    missing = [name for name in names if name not in table]
    if missing:
        shown = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
        raise UserError(f"no prompts for {len(missing)} classes: {shown}.", where=str(path))
    return [table[name] for name in names]


def _sentences(value) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(s, str) and s.strip() for s in value)
