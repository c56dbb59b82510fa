"""Distillation, as registry names and options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from parity_entries import Inputs, Params, adapter, component, edge, term
from parity_graph import Graph, Terms
from torch import Tensor


def distilled(x: Inputs, p: Params, *, contrastive: dict[str, Any] | None, **options: Any) -> Graph:
    objectives = [contrastive] if contrastive else []
    settings = {k: options.pop(k) for k in ("bias", "similarity") if k in options} | {"scale": "scale"}
    objectives.append(
        term("distillation", teacher_scales=[p["teacher_scale"]], **{"similarity": "dot", **settings, **options})
    )
    fields = {k: x[k] for k in ("teacher_a", "teacher_b")}
    components = {"contrastive": component("a-b"), "distill": component("distillation")}
    return Graph(objectives, {k: x[k] for k in "ab"}, fields=fields, components=components)


@adapter
def distill_clip(x: Inputs, p: Params) -> Graph:
    return distilled(x, p, contrastive=edge())


@adapter
def tinyclip_affinity(x: Inputs, p: Params) -> Graph:
    return distilled(x, p, contrastive=None)


@adapter
def distill_siglip(x: Inputs, p: Params) -> Graph:
    student = edge(loss="siglip", bias="bias")
    return distilled(x, p, contrastive=student, divergence="sigmoid", teacher_bias=p["teacher_bias"], bias="bias")


@adapter
def clip_kd(x: Inputs, p: Params) -> Graph:
    names = {"ckd": "logits", "fd": "features", "icl": "interactive", "cross_kd": "cross_logits", "gd": "gradients"}
    options = {ours: p[f"w_{theirs}"] for theirs, ours in names.items()}
    graph = distilled(
        x,
        p,
        contrastive=edge(similarity="cosine"),
        similarity="cosine",
        divergence="kl",
        cross_scale=p["cross_scale"],
        gradient_temperature="scale",
        **options,
    )
    if not any(options.values()):
        graph.objectives.pop()
    single = sum(map(bool, options.values())) == 1
    graph.components = {"contrastive": component("a-b")} | {
        theirs: component(f"distillation.{ours}", default="distillation" if single and options[ours] else None)
        for theirs, ours in names.items()
    }
    return graph


@adapter
def mobileclip_dr(x: Inputs, p: Params) -> Graph:
    objectives = []
    for caption in ("b", "syn"):
        objectives.append(edge(b=caption, weight=p["w_contrastive"]))
        objectives.append(
            term(
                "distillation",
                b=caption,
                weight=p["w_distill"],
                teacher_scales=p["teacher_scales"],
                teacher_dims=p["teacher_dims"],
                fields={"teacher_b": f"teacher_{caption}"},
            )
        )
    streams = {k: x[k] for k in ("a", "b", "syn")}
    fields = {k: x[k] for k in ("teacher_a", "teacher_b", "teacher_syn")}

    def total(weight: float, *names: str) -> Callable[[Terms], Tensor]:
        return lambda terms: weight * sum(terms[name] for name in names)

    components = {
        "contrastive": total(p["w_contrastive"], "a-b", "a-syn"),
        "distill": total(p["w_distill"], "distillation.1", "distillation.2"),
    }
    return Graph(objectives, streams, fields=fields, components=components)
