"""Options of the losses (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt


def direction_weights(reduction: Literal["mean", "sum"] | list[float]) -> tuple[float, float]:
    """Weights of the directions, first against second and second against first."""
    if isinstance(reduction, str):
        return {"mean": (0.5, 0.5), "sum": (1.0, 1.0)}[reduction]
    return reduction[0], reduction[1]


def check_reduction(reduction: Literal["mean", "sum"] | list[float]) -> None:
    """Raises ValueError unless a list holds two weights, one of them positive."""
    if isinstance(reduction, list) and (len(reduction) != 2 or not any(reduction)):
        raise ValueError("direction_reduction takes two weights, one of them above 0")


@dataclass(kw_only=True)
class SampleWeighting:
    """Weights of the samples from their mean similarity to the batch (LAION-CLAP)."""

    kappa: Annotated[float, Gt(0)] = 0.5
    """Temperature: weight_i = exp(mean_j x_i.x_j / kappa), without gradient."""
    by: list[Literal["a", "b"]]
    """Whose embeddings weigh each direction: first against second, second against first. LAION-CLAP: [b, a]."""

    def __post_init__(self):
        if len(self.by) != 2:
            raise ValueError("by takes two sides, one per direction, such as [b, a]")


@dataclass(kw_only=True)
class InfoNCEOptions:
    label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of the target spread evenly over all candidates (ALIGN: 0.1)."""
    direction_reduction: Literal["mean", "sum"] | list[Annotated[float, Ge(0)]] = "mean"
    """How the two directions add up: `mean`, `sum`, or two weights, first against second and second against first."""
    margin: Annotated[float, Ge(0)] = 0.0
    """Subtracted from the logits of the positives (SpeechCLIP)."""
    multi_positive: bool = False
    """Rows of the same label are all positives (UniCL); reads the field `labels`."""
    mask_same_id: bool = False
    """Rows of the same id are no negatives, nor positives; reads the field `ids`."""
    positive_weight: Annotated[float, Ge(0)] = 1.0
    """Weight of the positive among the candidates; 0: decoupled (DCL)."""
    hardness: Annotated[float, Ge(0)] | None = None
    """Negatives weigh (number of negatives) * softmax(hardness * logits) (HN-NCE: 0.25, HCL: 1)."""
    debias: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of negatives that are truly positives, taken out of their sum (HCL: 0.1); with `hardness`."""
    debias_floor: bool = True
    """The debiased sum stays above that of opposite unit vectors, so that its logarithm exists (HCL)."""
    sample_weighting: SampleWeighting | None = None
    """Weights of the samples from their mean similarity to the batch (LAION-CLAP)."""
    sample_weights: bool = False
    """Weigh samples by the field `sample_weights`: sum of weight x term over the sum of weights (AudioCLIP)."""
    normalize_inputs: bool = False
    """Normalise the embeddings once more inside the loss, as some published code does."""
    tile: Literal["auto", "none"] | Annotated[int, Ge(1)] = "auto"
    """Edge of the tiles that stand for a large batch's score matrix (memory linear in the batch, the same value).
    `auto`: measured shapes, from 2048 x 2048 scores per process on; `none`: always the whole matrix."""
    tile_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Factors of the tiles' products; sums stay float32. `auto`: bfloat16 in a run with precision bf16-mixed."""

    def __post_init__(self):
        check_reduction(self.direction_reduction)
        used = {name for name, default in _PLAIN.items() if getattr(self, name) != default}
        if "debias" in used and self.hardness is None:
            raise ValueError("debias needs hardness; hardness: 0 weighs all negatives alike")
        if not any(used <= set(tested) for tested in _TESTED):
            raise ValueError(
                f"{' with '.join(sorted(used))} is a combination without a published value; "
                f"what goes together: {'; '.join(', '.join(tested) for tested in _TESTED)}"
            )


_PLAIN = {
    "label_smoothing": 0.0,
    "margin": 0.0,
    "multi_positive": False,
    "mask_same_id": False,
    "positive_weight": 1.0,
    "hardness": None,
    "debias": 0.0,
    "sample_weighting": None,
    "sample_weights": False,
}
_TESTED = (
    ("label_smoothing",),
    ("multi_positive",),
    ("margin", "mask_same_id", "positive_weight"),
    ("hardness", "positive_weight"),
    ("debias", "hardness"),
    ("sample_weighting",),
    ("sample_weights",),
)


@dataclass(kw_only=True)
class SigLIPOptions:
    normalize_inputs: bool = False
    """Normalise the embeddings once more inside the loss."""
    tile: Literal["auto", "none"] | Annotated[int, Ge(1)] = "auto"
    """Edge of the tiles that stand for a large batch's score matrix (memory linear in the batch, the same value).
    `auto`: measured shapes, from 2048 x 2048 scores per process on; `none`: always the whole matrix."""
    tile_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Factors of the tiles' products; sums stay float32. `auto`: bfloat16 in a run with precision bf16-mixed."""


@dataclass(kw_only=True)
class InfoLOOBOptions:
    hopfield_scale: Annotated[float, Gt(0)] | None = None
    """Inverse temperature of the retrieval from the batch's own embeddings (CLOOB: 8); null: no retrieval."""
    direction_reduction: Literal["mean", "sum"] | list[Annotated[float, Ge(0)]] = "sum"
    """How the two directions (with retrieval: the two terms) add up: `mean`, `sum`, or two weights."""
    normalize_inputs: bool = False
    """Normalise the embeddings once more inside the loss."""

    def __post_init__(self):
        check_reduction(self.direction_reduction)


@dataclass(kw_only=True)
class SupConOptions:
    temperature: Annotated[float, Gt(0)] = 0.07
    """Divides the similarities; the scale of the edge multiplies them once more (default 1, not learned)."""
    base_temperature: Annotated[float, Gt(0)] = 0.07
    """Divides the whole loss."""
    normalize_inputs: bool = False
    """Normalise the embeddings once more inside the loss."""
