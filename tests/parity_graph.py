"""Run objectives of a config on given embeddings, in one process: what the adapters of tests/parity.py are made of."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from anyclip.config import config_from_dict
from anyclip.data.batch import batch_of
from anyclip.distributed import Presence
from anyclip.model import JointModel
from anyclip.objectives import Objectives, build_objectives
from anyclip.similarities.hyperbolic import Hyperbolic
from anyclip.step.context import Context
from anyclip.towers import Encoding, Tower

Terms = dict[str, Tensor]


@dataclass
class Graph:
    """Objectives as a config has them, and what they see.

    objectives: config entries; a string as `scale` or `bias` names a setting of the case, which becomes a leaf.
    streams: name -> features [N, E] or an Encoding. present: name -> rows [N] that have the stream. fields: name ->
    values [N, ...]. extra: (weight, value) of terms that are computed apart. components: recorded name -> how it comes
    from the terms (unweighted), or a list of objectives whose total it is. setup: called with the built objectives;
    after: what they leave behind, called after `after_step`.
    """

    objectives: list[dict[str, Any]]
    streams: dict[str, Tensor | Encoding]
    present: dict[str, Tensor] = field(default_factory=dict)
    fields: dict[str, Tensor] = field(default_factory=dict)
    reduction: str = "sum"
    extra: list[tuple[float, Tensor]] = field(default_factory=list)
    components: Mapping[str, Callable[[Terms], Any] | list[dict[str, Any]]] = field(default_factory=dict)
    setup: Callable[[Objectives], None] | None = None
    after: Callable[[Objectives], dict[str, Any]] | None = None


class Given(Tower):
    """Stands where a tower would: the vectors are given."""

    modality, processor = "toy", None  # type: ignore[assignment]

    def __init__(self, width: int):
        super().__init__()
        self.width = width


def run(graph: Graph, params: dict[str, Any]) -> dict[str, Any]:
    """Loss and components; leaves among `params` get their gradient through the loss."""
    total, terms, objectives, context = _total(graph, graph.objectives, params)
    found: dict[str, Any] = {}
    for name, how in graph.components.items():
        if isinstance(how, list):
            found[name] = _total(graph, how, params)[0].detach()
        else:
            found[name] = how(terms)
    for weight, value in graph.extra:
        total = total + weight * value
    if graph.after is not None:
        with torch.no_grad():
            objectives.after_step(context)
        found |= graph.after(objectives)
    return {"loss": total, **found}


def _total(
    graph: Graph, entries: Sequence[dict[str, Any]], params: dict[str, Any]
) -> tuple[Tensor, Terms, Objectives, Any]:
    encodings = {s: x if isinstance(x, Encoding) else Encoding(pooled=x) for s, x in graph.streams.items()}
    first = next(iter(encodings.values())).pooled
    if not entries:
        return first.new_zeros(()), {}, Objectives([], names=[]), None
    objectives = _build(graph, entries, params, encodings, first)
    size = len(first)
    present = {s: graph.present.get(s, torch.ones(size)).bool() for s in encodings}
    rows = {s: present[s].nonzero()[:, 0] for s in encodings}
    batch = batch_of({}, rows, size)
    batch.fields = {name: (torch.arange(size), values) for name, values in graph.fields.items()}
    chosen = {s: e[rows[s]] for s, e in encodings.items()}
    model = _model(encodings)
    context = Context(
        model, batch, Presence(size, present), chosen, {s: e.pooled for s, e in chosen.items()}, step=0, key=(0,)
    )
    total, terms = objectives(context)
    return total, terms, objectives, context


def _model(encodings: Mapping[str, Encoding]) -> JointModel:
    towers = {s: Given(e.pooled.shape[-1]) for s, e in encodings.items()}
    dim = next(iter(encodings.values())).pooled.shape[-1]
    return JointModel(dim, towers, {s: nn.Identity() for s in towers})


def _build(
    graph: Graph,
    entries: Sequence[dict[str, Any]],
    params: dict[str, Any],
    encodings: Mapping[str, Encoding],
    first: Tensor,
) -> Objectives:
    entries = [copy.deepcopy(entry) for entry in entries]
    names: list[dict[str, str]] = []
    for entry in entries:
        names.append({k: entry[k] for k in ("scale", "bias") if isinstance(entry.get(k), str)})
        for kind, name in names[-1].items():
            entry[kind] = {"init": float(torch.as_tensor(params[name]).detach())} | (
                {"max": 1e9} if kind == "scale" else {}
            )
        if entry.get("loss", {}).get("name") == "infonce":
            entry.pop("bias", None)  # it cancels, and a config that names one is refused
        for kind in ("scale", "bias"):
            if isinstance(entry.get(kind), (int, float)):
                entry[kind] = {"init": float(entry[kind]), "learn": False}
    used = {s for entry in entries for s in (*entry.get("pair", ()), *entry.get("options", {}).get("streams", ()))}
    config = config_from_dict(
        {
            "model": {"dim": 1, "towers": {s: {"name": "toy/mlp"} for s in encodings if s in used}},
            "objectives": entries,
            "pair_reduction": graph.reduction,
        }
    )
    objectives = build_objectives(config, _model(encodings)).to(first.dtype)
    if graph.setup is not None:
        graph.setup(objectives)
    tied: dict[int, Tensor] = {}
    for objective, entry, chosen in zip(objectives, entries, names):
        _tie(objective, entry, chosen, params, first.dtype, tied)
    return objectives


def _tie(
    objective: Any,
    entry: dict[str, Any],
    names: Mapping[str, str],
    params: dict[str, Any],
    dtype: torch.dtype,
    tied: dict[int, Tensor],
) -> None:
    """Make the leaves of the case the objective's scale, bias and curvature.

    tied: id of a parameter that was replaced -> what stands for it, for terms that have it from a loss.
    """
    for kind, attribute in (("scale", "log_scale"), ("bias", "bias")):
        if kind in names:
            value = torch.as_tensor(params[names[kind]], dtype=dtype)
            leaf = (value.log() if kind == "scale" else value).reshape(1)
            tied[id(getattr(objective, attribute))] = leaf
            _replace(objective, attribute, leaf)
        elif id(getattr(objective, attribute, None)) in tied and isinstance(getattr(objective, attribute), Tensor):
            _replace(objective, attribute, tied[id(getattr(objective, attribute))])
        elif isinstance(entry.get(kind), dict) and kind == "scale":
            getattr(objective, attribute).data.fill_(math.log(entry[kind]["init"]))
    for module in objective.modules():
        if isinstance(module, Hyperbolic) and "curvature" in params:
            value = torch.as_tensor(params["curvature"], dtype=dtype)
            _replace(module, "log_curvature", value.log().reshape(1))


def _replace(module: nn.Module, name: str, value: Tensor) -> None:
    """Put a tensor with a graph where a parameter was."""
    if name in module._parameters:
        del module._parameters[name]
    object.__setattr__(module, name, value)
