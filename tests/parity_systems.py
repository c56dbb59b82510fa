"""Systems that are more than one plain loss, as registry names and options."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from parity_entries import Inputs, Params, adapter, component, edge, term, tokens
from parity_graph import Graph, Terms, run

from anyclip.distributed import Presence
from anyclip.losses import create_loss
from anyclip.losses.base import Candidates
from anyclip.objectives.captioning import caption_terms
from anyclip.objectives.masked_modelling import masked_terms
from anyclip.objectives.simsiam import negative_cosine
from anyclip.similarities.multi_grained import MultiGrained
from anyclip.similarities.whitening import Whitener


@adapter
def alignclip(x: Inputs, p: Params) -> Graph:
    chosen = [k for k in "ab" if p[f"separate_{k}"]] if p["semantic"] else ["a", "b"]
    objectives = [edge(direction_reduction="sum", weight=p["w_contrastive"])]
    if chosen:
        objectives += [term("separation", weight=p["w_separation"], modalities=chosen, semantic=p["semantic"])]
    components = {
        "contrastive": component("a-b", p["w_contrastive"]),
        "separation": component("separation", p["w_separation"]),
    }
    return Graph(objectives, {k: x[k] for k in "ab"}, fields={"sentence": x["sentence"]}, components=components)


@adapter
def audioclip(x: Inputs, p: Params) -> Graph:
    weighted = "sample_weights" in x
    pairs = [
        edge(*pair, scale=f"scale_{pair}", direction_reduction="sum", sample_weights=weighted) for pair in p["pairs"]
    ]
    fields = {"sample_weights": x["sample_weights"]} if weighted else {}
    return Graph(pairs, {k: x[k] for k in "abc"}, fields=fields, reduction="factorial")


@adapter
def clip4clip_meanp(x: Inputs, p: Params) -> Graph:
    return Graph([edge(similarity="frame_mean")], {"a": x["a"][:, 0], "b": tokens(x["b"], x["mask_b"])})


@adapter
def filip_paper(x: Inputs, p: Params) -> Graph:
    similarity = {"name": "filip", "options": {"normalize": False}}
    return Graph([edge(similarity=similarity)], {"a": tokens(x["a"]), "b": tokens(x["b"], x["mask_b"])})


@adapter
def filip_declip_repo(x: Inputs, p: Params) -> Graph:
    similarity = {"name": "filip", "options": {"top_k": p["top_k"]}}
    return Graph([edge(similarity=similarity)], {"a": tokens(x["a"]), "b": tokens(x["b"])})


@adapter
def xclip_multigrained(x: Inputs, p: Params) -> Graph:
    names = {
        "whole": "G",
        "local": "Loc",
        "words_video": "Wl",
        "frames_sentence": "Fl",
        "words_inner": "Wm",
        "frames_inner": "Fm",
        "words_outer": "Wm2",
        "frames_outer": "Fm2",
    }
    sizes = {"dim": x["a"].shape[2], "words": x["words"].shape[1], "frames": x["b"].shape[1]}

    def setup(objectives: Any) -> None:
        similarity = objectives[0].similarity
        assert isinstance(similarity, MultiGrained)
        for ours, theirs in names.items():
            getattr(similarity, ours).data.copy_(x[theirs])

    similarity = {"name": "multi_grained", "options": {**sizes, "mask": False}}
    streams = {"a": tokens(x["words"], pooled=x["a"][:, 0]), "b": tokens(x["b"], x["mask_b"])}
    return Graph([edge(similarity=similarity)], streams, setup=setup)


@adapter
def euclip_geometries(x: Inputs, p: Params) -> Graph:
    space, _, form = p["geometry"].partition("-")
    options: dict[str, Any] = {"feature_scale": 1.0, "squared": form == "squared"}
    if space == "elliptic":
        options = {"normalize": False}
    if space == "hyperbolic":
        options |= {"inner": form == "inner", "learn_feature_scale": False}
    objectives = [edge(similarity={"name": space, "options": options})]
    if p["w_entailment"]:
        objectives.append(term("entailment", weight=p["w_entailment"], min_radius=p["min_radius"]))
    entailment = component("entailment", p["w_entailment"])
    components = {"contrastive": component("a-b"), "entailment": entailment}
    return Graph(objectives, {k: x[k] for k in "ab"}, components=components)


@adapter
def cyclip(x: Inputs, p: Params) -> Graph:
    inner = p["inmodal"]
    objectives = [edge(weight=0.5 if inner else 1.0)]
    if inner:
        objectives += [edge(k, f"{k}_aug", weight=0.25, direction_reduction=[1.0, 0.0]) for k in "ab"]
    contrastive = list(objectives)
    weights = {"in_modal": p["w_inmodal_cyclic"], "cross_modal": p["w_crossmodal_cyclic"]}
    if any(weights.values()):
        objectives.append(term("cyclic", **weights))
    streams = {k: x[k] for k in ("a", "b", *(("a_aug", "b_aug") if inner else ()))}

    def cyclic(terms: Terms) -> Any:
        return sum(v for name, v in terms.items() if name.startswith("cyclic"))

    return Graph(objectives, streams, components={"contrastive": contrastive, "cyclic": cyclic})


@adapter
def laion_clap(x: Inputs, p: Params) -> Graph:
    def weighting(*by: str) -> dict[str, Any]:
        return {"sample_weighting": {"kappa": p["kappa"], "by": list(by)}} if p["kappa"] else {}

    if not p["mlp"]:
        return Graph([edge(**weighting("b", "a"))], {k: x[k] for k in "ab"})
    objectives = [
        edge("a", "b_mlp", weight=0.5, **weighting("a", "a")),
        edge("a_mlp", "b", weight=0.5, scale="scale_t", **weighting("b", "b")),
    ]
    return Graph(objectives, {k: x[k] for k in ("a", "b", "a_mlp", "b_mlp")})


@adapter
def coca(x: Inputs, p: Params) -> Graph:
    loss, count = caption_terms(x["logits"], x["labels"], p["pad_id"])
    components = {
        "contrastive": component("a-b", p["w_contrastive"]),
        "caption": lambda terms: p["w_caption"] * (loss / count).detach(),
    }
    return Graph(
        [edge(weight=p["w_contrastive"])],
        {k: x[k] for k in "ab"},
        extra=[(p["w_caption"], loss / count)],
        components=components,
    )


@adapter
def slip(x: Inputs, p: Params) -> Graph:
    views = {"streams": ["z1", "z2"], "temperature": p["ssl_tau"], "head": None}
    objectives = [edge(similarity="cosine"), {"name": "ntxent", "options": views, "weight": p["w_ssl"]}]
    components = {"contrastive": component("a-b"), "ssl": component("ntxent")}
    return Graph(objectives, {k: x[k] for k in ("a", "b", "z1", "z2")}, components=components)


@adapter
def declip(x: Inputs, p: Params) -> Graph:
    views = list(itertools.product(("a1", "a2"), ("b1", "b2")))
    objectives = [edge(*pair, weight=p["w_contrastive"] / 4) for pair in views]
    objectives.append(
        term(
            "nearest_neighbour",
            "a1",
            "b1",
            weight=p["w_nn_text"],
            size=len(x["bank"]),
            anchors=["a1", "a2"],
            keys=["b1", "b2"],
        )
    )
    simsiam = (negative_cosine(x["p1"], x["z2"]).mean() + negative_cosine(x["p2"], x["z1"]).mean()) / 2
    loss, count = masked_terms(x["mlm_logits"], x["mlm_labels"])

    def setup(objectives: Any) -> None:
        objectives[-1].bank.copy_(x["bank"])
        objectives[-1].pointer.fill_(p["bank_ptr"])

    def after(objectives: Any) -> dict[str, Any]:
        return {"bank_ptr_after": float(objectives[-1].pointer), "bank_sum_after": objectives[-1].bank.sum()}

    return Graph(
        objectives,
        {k: x[k] for k in ("a1", "a2", "b1", "b2")},
        extra=[(p["w_simsiam"], simsiam), (p["w_mlm"], loss / count)],
        components={
            "contrastive": lambda terms: sum(terms[f"{a}-{b}"] for a, b in views) / 4,
            "nn_text": component("nearest_neighbour"),
            "simsiam": lambda terms: simsiam.detach(),
            "mlm": lambda terms: (loss / count).detach(),
        },
        setup=setup,
        after=after,
    )


@adapter
def m2_mix(x: Inputs, p: Params) -> Graph:
    streams = {k: x[k] for k in "ab"}
    every = [edge(), term("geodesic_mixup", share=p["lam"], unimodal=1.0)]
    mixes = ("v_mix", "l_mix", "vl_mix", "m2_mix")
    found: dict[str, Any] = run(
        Graph(every, streams, components={m: component(f"geodesic_mixup.{m}") for m in mixes}), p
    )
    components = {m: (lambda terms, m=m: found[m].detach()) for m in mixes}
    objectives = [edge(), term("geodesic_mixup", share=p["lam"], unimodal=p["w_mix"])]
    return Graph(objectives, streams, components={"contrastive": component("a-b"), **components})


@adapter
def ulip(x: Inputs, p: Params) -> Graph:
    return Graph([edge("a", k, similarity="cosine") for k in "bc"], {k: x[k] for k in "abc"})


@adapter
def uni3d(x: Inputs, p: Params) -> Graph:
    """Absent images stand among the candidates with what the origin puts there, so the loss is called by itself."""
    unit = {k: torch.nn.functional.normalize(x[k], dim=-1) for k in "ac"}
    own = x["present_c"].nonzero()[:, 0]
    sides = [Candidates({"embedding": unit[k]}, own) for k in "ac"]
    wide = create_loss("infonce").wide_share(
        *sides, slice(0, len(own)), score=lambda a, b: a["embedding"] @ b["embedding"].T, scale=p["scale"]
    )
    return Graph([edge("a", "b", similarity="cosine")], {k: x[k] for k in "ab"}, extra=[(1.0, wide)])


@adapter
def multimodal_pairs(x: Inputs, p: Params) -> Graph:
    names = [k for k in "abcd" if k in x]
    pairs = [f"{a}{b}" for a, b in itertools.combinations(names, 2) if p.get("anchor", a) in (a, b)]
    present = {k: x["present"][:, i].bool() for i, k in enumerate(names)}
    counts = Presence(len(x["present"]), present)
    n = {pair: counts.count(*pair) for pair in pairs}
    counted = [pair for pair in pairs if n[pair] >= 2]
    streams = {k: x[k] for k in names}

    def mean(prefix: str, weights: dict[str, int] | None = None) -> Callable[[Terms], Any]:
        weights = weights or dict.fromkeys(counted, 1)
        found = rules[prefix]
        return lambda terms: sum(weights[q] * found[q] for q in counted) / sum(weights.values())

    rules = {}
    for rule, negatives in (("A", "pair"), ("B", "modality")):
        entries = [edge(*pair, negatives=negatives) for pair in counted]
        by_pair = {pair: component(f"{pair[0]}-{pair[1]}") for pair in counted}
        found = run(Graph(entries, streams, present=present, components=by_pair), p)
        rules[rule] = {pair: found[pair].detach() for pair in counted}
    used = {pair: n[pair] for pair in counted}
    components: dict[str, Any] = {f"n_{pair}": (lambda terms, q=pair: float(n[q])) for pair in pairs}
    for rule, found in rules.items():
        components |= {f"{rule}_{pair}": (lambda terms, v=found[pair]: v) for pair in counted}
    components |= {"A_count_weighted": mean("A", used), "B_mean": mean("B"), "B_count_weighted": mean("B", used)}
    objectives = [edge(*pair) for pair in pairs]
    return Graph(objectives, streams, present=present, reduction="mean", components=components)


@adapter
def whitened_clip(x: Inputs, p: Params) -> Graph:
    whitener = Whitener(x["fit"].shape[1]).to(x["a"].dtype).fit(x["fit"])
    likelihood = whitener.log_likelihood(x["a"])
    return Graph(
        [],
        {"a": x["a"]},
        extra=[(1.0, -likelihood.mean())],
        components={"log_likelihood": lambda terms: likelihood.detach()},
    )
