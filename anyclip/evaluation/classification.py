"""What the classifying evaluations share: labelled vectors, accuracy with intervals, the worst classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from anyclip.errors import UserError
from anyclip.evaluation.base import Result
from anyclip.evaluation.intervals import bootstrap
from anyclip.similarities import Similarity, create_similarity

if TYPE_CHECKING:
    from anyclip.evaluation.data import EvalData


def check_label(data: EvalData, label: str, evaluation: str) -> None:
    """Raise UserError when the dataset has no column for the label field."""
    if label not in data.fields:
        raise UserError(
            f"{evaluation}: the dataset has no column {label!r} for the class of a row.",
            where=data.name,
            hint=f"Map it with `fields: {{{label}: COLUMN}}`, or name another field: `options: {{label: FIELD}}`.",
        )


def labelled_vectors(
    data: EvalData,
    stream: str,
    label: str,
    *,
    limit: int | None,
    batch_size: int,
    similarity: str | Similarity = "cosine",
) -> tuple[Tensor, list[Any], Tensor]:
    """(vectors [N, E], label of each, its data row [N]) of the rows that have both.

    Alternatives of a row count one by one. The vectors are what the similarity prepares as `embedding`.
    """
    labels = data.field(label, limit)
    made = create_similarity(similarity) if isinstance(similarity, str) else similarity
    name = similarity if isinstance(similarity, str) else type(similarity).__name__
    vectors = data.vectors(stream, made, name=name, limit=limit, batch_size=batch_size)
    items = data.items(stream, limit)
    position = torch.full((len(items),), -1)
    position[vectors.items] = torch.arange(len(vectors.items))
    keep = [k for k, row in enumerate(items.rows.tolist()) if row in labels and position[items.items[k]] >= 0]
    rows = items.rows[keep]
    embedding = vectors.prepared.get("embedding", torch.empty(0, data.model.dim))
    return embedding[position[items.items[keep]]].float(), [labels[row] for row in rows.tolist()], rows


def measure(
    result: Result,
    label: str,
    hits: dict[str, np.ndarray],
    truth: np.ndarray,
    chance: dict[str, float],
    *,
    resamples: int,
    seed: int,
) -> None:
    """Add accuracies with intervals: of the rows (`hits` name -> [N] 0/1) and the mean over classes of the first."""
    for name, values in hits.items():
        key = f"{label}/{name}"
        result.numbers[key] = float(values.mean())
        interval = bootstrap(values, {key: lambda drawn: drawn.mean(axis=1)}, resamples=resamples, seed=seed)
        result.intervals |= interval
        result.chance[key] = chance[name]
    first = next(iter(hits.values()))
    classes = np.unique(truth)
    result.numbers[f"{label}/mean_class"] = float(np.mean([first[truth == c].mean() for c in classes]))
    result.chance[f"{label}/mean_class"] = chance[next(iter(hits))]


def worst_classes(names: Sequence[str], truth: np.ndarray, guess: np.ndarray, n: int) -> list[dict[str, Any]]:
    """The `n` classes of the lowest accuracy and what they are taken for, as examples of kind `confusion`."""
    rows = []
    for c in np.unique(truth):
        guessed = guess[truth == c]
        taken = Counter(names[g] for g in guessed.tolist() if g != c).most_common(3)
        rows.append(
            {
                "kind": "confusion",
                "class": names[c],
                "accuracy": float((guessed == c).mean()),
                "rows": len(guessed),
                "taken_for": [[name, count] for name, count in taken],
            }
        )
    rows.sort(key=lambda row: (row["accuracy"], -row["rows"]))
    return [row for row in rows if row["accuracy"] < 1][:n]


def only_stream(data: EvalData, choices: Sequence[str], wanted: str | None, evaluation: str, option: str) -> str:
    """The stream named by an option, or the only choice. Raises UserError otherwise."""
    if wanted is not None:
        if wanted not in choices:
            raise UserError(
                f"{evaluation}: no stream {wanted!r} here.", where=data.name, hint=f"Streams: {', '.join(choices)}."
            )
        return wanted
    if len(choices) != 1:
        found = ", ".join(choices) or "none"
        raise UserError(
            f"{evaluation}: which stream? There are: {found}.",
            where=data.name,
            hint=f"Set `options: {{{option}: STREAM}}`.",
        )
    return choices[0]
