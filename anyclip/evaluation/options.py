"""Options of the evaluations (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Len, Lt

Positive = Annotated[int, Gt(0)]


@dataclass(kw_only=True)
class RetrievalOptions:
    ks: Annotated[list[Positive], Len(1)] = field(default_factory=lambda: [1, 5, 10])
    """K of each Recall@K."""
    group: str | None = None
    """A field: rows with the same value are right answers for each other (several captions or takes of one thing)."""
    macro: bool = False
    """Also average Recall@K over the distinct right answers, as `macro_R@K`: a caption that many rows share then counts
    once. Its interval resamples the right answers."""
    similarity: str | None = None
    """How pairs are scored. Default: as in training, `cosine` for a pair that was not trained."""
    max_rows: Positive | None = None
    """Use so many rows, evenly spread over the data."""
    batch_size: Positive = 64
    """Rows encoded at a time: speed and memory only."""
    chunk: Positive = 128
    """Items per side scored at a time when the similarity is not a dot product."""
    bootstrap: Annotated[int, Ge(0)] = 1000
    """Resamples of the queries for the 95 % intervals; 0: no intervals."""
    seed: Annotated[int, Ge(0)] = 0
    """Seed of the resamples."""
    examples: Annotated[int, Ge(0)] = 5
    """Best and worst queries per direction kept for the report."""
    matrix: Annotated[int, Ge(0)] = 24
    """Rows of the similarity matrix kept for the report."""


@dataclass(kw_only=True)
class ModalityGapOptions:
    max_rows: Positive | None = None
    """Use so many rows, evenly spread over the data."""
    max_items: Positive = 5000
    """Items per stream whose distances to each other are measured (uniformity), evenly spread."""
    group: str | None = None
    """A field: rows with the same value belong together."""
    batch_size: Positive = 64
    """Rows encoded at a time: speed and memory only."""
    bootstrap: Annotated[int, Ge(0)] = 1000
    """Resamples of the pairs for the 95 % interval of the alignment; 0: no interval."""
    seed: Annotated[int, Ge(0)] = 0
    """Seed of the resamples."""


@dataclass(kw_only=True)
class ZeroShotOptions:
    stream: str | None = None
    """The stream to classify. Default: the only stream of the data beside the prompts' one."""
    prompt_stream: str | None = None
    """The stream that embeds the prompts. Default: the only stream of the model whose values are plain strings."""
    label: str = "label"
    """The field that holds the class of a row (map it to a column with `fields`)."""
    classes: list[str] | None = None
    """Class names. Default: the values found in the label field."""
    templates: list[str] | None = None
    """Sentences with `{}` for the class name. Default: the prompts of the stream's modality."""
    prompts: str | None = None
    """A JSON file of class -> list of prompts, instead of templates; relative to the config."""
    max_rows: Positive | None = None
    """Use so many rows, evenly spread over the data."""
    batch_size: Positive = 64
    """Rows encoded at a time: speed and memory only."""
    bootstrap: Annotated[int, Ge(0)] = 1000
    """Resamples of the rows for the 95 % intervals; 0: no intervals."""
    seed: Annotated[int, Ge(0)] = 0
    """Seed of the resamples."""
    worst: Annotated[int, Ge(0)] = 10
    """Classes of the lowest accuracy kept for the report, with what they are taken for."""

    def __post_init__(self):
        if self.prompts is not None and self.templates is not None:
            raise ValueError("`prompts` replaces `templates`: give one of them")
        bad = [t for t in self.templates or () if "{}" not in t]
        if bad:
            raise ValueError(f"a template holds {{}} for the class name, this does not: {bad[0]!r}")


@dataclass(kw_only=True)
class ZeroShotSearchOptions(ZeroShotOptions):
    search: Annotated[list[Literal["prompts", "weights"]], Len(1)] = field(
        default_factory=lambda: ["prompts", "weights"]
    )
    """What is searched, in this order. `weights`: of the tokens (views) that the tower's vector is a sum of;
    `prompts`: one sentence of each class instead of the mean of all."""
    holdout: Annotated[float, Gt(0), Lt(1)] | None = None
    """Search on this share of the validation rows and measure on the others. Default: search on the training rows."""
    max_train: Positive | None = None
    """Search on so many training rows, evenly spread."""
    weights: Annotated[list[Annotated[float, Ge(0)]], Len(2)] = field(default_factory=lambda: [0.25, 0.5, 0.75, 1.0])
    """Values that a weight may take."""
    exhaustive: Annotated[int, Ge(0)] = 4096
    """Try every combination of weights where there are at most so many; otherwise climb from several starts."""
    starts: Annotated[int, Ge(0)] = 8
    """Random starts of the climb, beside equal weights."""
    passes: Positive = 2
    """Rounds of the search of prompts over the classes."""


@dataclass(kw_only=True)
class LinearProbeOptions:
    stream: str | None = None
    """The stream to classify. Default: the only stream whose values are no plain strings."""
    label: str = "label"
    """The field that holds the class of a row."""
    features: bool = False
    """true: probe the raw features before the sphere instead of unit embeddings."""
    l2: Annotated[list[Annotated[float, Ge(0)]], Len(1)] = field(
        default_factory=lambda: [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    )
    """Penalties tried; the one best on the held-out part of the training rows is refitted on all of them."""
    holdout: Annotated[float, Gt(0), Lt(1)] = 0.2
    """Share of the training rows held out to choose the penalty."""
    iterations: Positive = 200
    """L-BFGS iterations at most."""
    max_train: Positive | None = None
    """Use so many training rows, evenly spread."""
    max_rows: Positive | None = None
    """Use so many validation rows, evenly spread."""
    batch_size: Positive = 64
    """Rows encoded at a time: speed and memory only."""
    bootstrap: Annotated[int, Ge(0)] = 1000
    """Resamples of the rows for the 95 % intervals; 0: no intervals."""
    seed: Annotated[int, Ge(0)] = 0
    """Seed of the split and of the resamples."""
