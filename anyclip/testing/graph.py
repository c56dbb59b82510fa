"""Evaluate the `objectives` of a config on given embeddings: tests of pair graphs without towers or data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from anyclip.config import config_from_dict
from anyclip.data.batch import batch_of
from anyclip.distributed import Presence
from anyclip.model import build_model
from anyclip.objectives import Objectives, build_objectives
from anyclip.step.context import Context
from anyclip.towers import Encoding


class Graph:
    """The objectives of a config, with no model behind them.

    objectives: as under `objectives` in YAML. streams: their names, without views. dim: width of the embeddings.
    """

    def __init__(
        self, objectives: Sequence[Mapping[str, Any]], streams: Sequence[str], *, dim: int, reduction: str = "sum"
    ):
        towers = {s: {"name": "toy/mlp", "options": {"size": 1, "width": 1, "depth": 1}} for s in streams}
        plain = {"model": {"dim": dim, "towers": towers}, "objectives": list(objectives), "pair_reduction": reduction}
        config = config_from_dict(plain)
        self.model = build_model(config.model)
        self.objectives: Objectives = build_objectives(config, self.model)

    def __call__(
        self,
        features: Mapping[str, Tensor],
        *,
        present: Mapping[str, Tensor] | None = None,
        fields: Mapping[str, Tensor] | None = None,
        step: int = 0,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """(total, single terms) of one process.

        features: stream -> raw vectors of ALL rows [N, E]. present: stream -> rows that have it [N] bool; the others'
        vectors are not used. fields: extra columns [N, ...].
        """
        size = len(next(iter(features.values())))
        every = torch.arange(size)
        rows = {s: every if present is None or s not in present else every[present[s].bool()] for s in features}
        batch = batch_of({}, rows, size)
        batch.fields = {name: (every, values) for name, values in (fields or {}).items()}
        kept = {s: x.index_select(0, rows[s]) for s, x in features.items()}
        presence = Presence.of(list(features), rows, size, (0, size))
        encodings = {s: Encoding(pooled=x) for s, x in kept.items()}
        return self.objectives(Context(self.model, batch, presence, encodings, kept, step=step, key=(0,)))

    def set_scales(self, scales: Sequence[Tensor | float]) -> None:
        """Give each edge the multiplied value of its scale (a leaf, say), instead of a parameter."""
        edges = [objective for _, _, objective in self.objectives.terms]
        for objective, scale in zip(edges, scales, strict=True):
            del objective.log_scale
            objective.log_scale = torch.as_tensor(scale, dtype=torch.float64).log().reshape(1)  # type: ignore[assignment]

    def scales(self) -> list[Tensor]:
        """log_scale parameters of the edges, shared ones repeated."""
        return [objective.log_scale for _, _, objective in self.objectives.terms]  # type: ignore[misc]
