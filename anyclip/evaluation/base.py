"""The interface of an evaluation and what it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from anyclip.evaluation.data import EvalData
    from anyclip.model import JointModel


PLAIN = frozenset(
    ("centroid_gap", "alignment", "uniformity", "matched_cosine", "unmatched_cosine", "mean_norm")
)  # metrics that are neither shares nor ranks


def unit(metric: str) -> Literal["rank", "plain", "share"]:
    """How a metric such as `image->text/median_rank` is shown: as a rank, as it is, or in percent."""
    name = metric.rpartition("/")[2]
    return "rank" if name.endswith("rank") else "plain" if name in PLAIN else "share"


def show(metric: str, value: float | None, *, missing: str = "-") -> str:
    """A value for people: ranks and distances as they are, shares in percent."""
    if value is None or value != value:
        return missing
    return {"rank": f"{value:,.1f}", "plain": f"{value:.3f}", "share": f"{100 * value:.1f} %"}[unit(metric)]


@dataclass
class Result:
    """Numbers of one evaluation.

    numbers: metric -> value, e.g. `image->text/R@1`. intervals: metric -> (low, high), 95 %.
    chance: metric -> value of a random ranking. examples: rows for the report (JSON-able).
    info: what the numbers are about (JSON-able): the dataset, the streams, whether the pair was trained (`trained`;
    per label where there are several pairs) or else `through` which streams it is bound, counts.
    """

    name: str
    numbers: dict[str, float]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    chance: dict[str, float] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)
    info: dict[str, Any] = field(default_factory=dict)


class Evaluation(ABC):
    """Built from one options dataclass; `run` is called on every process, with the model in eval mode."""

    def __init__(self, options: Any, *, pair: tuple[str, str] | None = None):
        self.options, self.pair = options, pair

    @abstractmethod
    def run(self, model: JointModel, data: EvalData) -> Result:
        """Embed what is needed through `data` (which caches) and measure."""
