"""Which registry names and options each objective of the reference is: the adapters of tests/parity.py for losses."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from parity_graph import Graph, Terms, run
from torch import Tensor

from anyclip.distributed import Presence
from anyclip.losses import create_loss
from anyclip.losses.base import Candidates
from anyclip.objectives.captioning import caption_terms
from anyclip.objectives.masked_modelling import masked_terms
from anyclip.objectives.simsiam import negative_cosine
from anyclip.similarities.multi_grained import MultiGrained
from anyclip.similarities.whitening import Whitener
from anyclip.towers import Encoding

Inputs = dict[str, Tensor]
Params = dict[str, Any]
ADAPTERS: dict[str, Callable[[Inputs, Params], Graph]] = {}
LEFT_OUT: dict[str, str] = {}  # objective -> why it is not compared


def adapter(function: Callable[[Inputs, Params], Graph]) -> Callable[[Inputs, Params], Graph]:
    ADAPTERS[function.__name__] = function
    return function


def function_of(objective: str) -> Callable[[Inputs, Params], dict[str, Any]]:
    """`f(inputs, params)` of an objective file."""
    return lambda x, p: run(ADAPTERS[objective](x, p), p)


def edge(a: str = "a", b: str = "b", *, loss: str = "infonce", **more: Any) -> dict[str, Any]:
    """A config entry; what is no setting of an edge is an option of the loss. Embeddings are taken as they are."""
    settings = {"scale": "scale", "similarity": "dot"}
    known = ("scale", "bias", "similarity", "weight", "negatives", "fields")
    settings |= {k: more.pop(k) for k in known if k in more}
    return {"pair": [a, b], "loss": {"name": loss, "options": more}, **settings}


def term(name: str, a: str = "a", b: str = "b", **more: Any) -> dict[str, Any]:
    settings = {k: more.pop(k) for k in ("scale", "bias", "similarity", "weight", "fields") if k in more}
    return {"name": name, "pair": [a, b], "options": more, **settings}


def simple(**options: Any) -> Callable[[Inputs, Params], Graph]:
    """Plain embeddings a, b and one loss; an option's value may be a function of the settings."""

    def build(x: Inputs, p: Params) -> Graph:
        chosen = {k: v(p) if callable(v) else v for k, v in options.items()}
        chosen = {k: v for k, v in chosen.items() if v is not None}
        streams = {k: x[k] for k in "ab"}
        fields = {name: x["y"] for name in ("labels", "ids") if "y" in x}
        parts = {"a2b": [1.0, 0.0], "b2a": [0.0, 1.0], "mean_of_directions": "mean"}
        components = {k: [edge(**chosen | {"direction_reduction": how})] for k, how in parts.items()}
        return Graph([edge(**chosen)], streams, fields=fields, components=components if _directed(chosen) else {})

    return build


def _directed(chosen: dict[str, Any]) -> bool:
    return chosen.get("loss", "infonce") in ("infonce", "infoloob")


ADAPTERS |= {
    "clip_infonce": simple(bias=lambda p: "bias" if "bias" in p else None),
    "inf_clip_tiled": simple(tile=lambda p: p.get("tile")),
    "wav2clip": simple(similarity="cosine"),
    "align_label_smoothing": simple(label_smoothing=lambda p: p["eps"], direction_reduction="sum"),
    "convirt": simple(
        similarity="cosine",
        scale=lambda p: 1 / p["tau"],
        direction_reduction=lambda p: [p["w_a2b"], 1 - p["w_a2b"]],
    ),
    "imagebind_infonce": simple(direction_reduction="sum"),
    "videoclip": simple(direction_reduction="sum", scale=1.0),
    "unicl_multi_positive": simple(multi_positive=True),
    "dcl_masked": simple(
        positive_weight=lambda p: 0.0 if p["decoupled"] else 1.0,
        mask_same_id=lambda p: p["mask_same_id"],
        margin=lambda p: p["margin"],
    ),
    "hn_nce": simple(hardness=lambda p: p["beta"], positive_weight=lambda p: p["alpha"], direction_reduction="sum"),
    "hcl": simple(
        scale=2.0,
        hardness=lambda p: p["beta"],
        debias=lambda p: p["tau_plus"],
        debias_floor=False,
        direction_reduction=[1.0, 0.0],
    ),
    "infoloob": simple(loss="infoloob", direction_reduction=[1.0, 0.0]),
    "cloob": simple(loss="infoloob", hopfield_scale=lambda p: p["hopfield_scale"]),
    "siglip": simple(loss="siglip", bias="bias", tile=lambda p: p.get("tile")),
    "supcon": simple(
        loss="supcon", scale=1.0, temperature=lambda p: p["tau"], base_temperature=lambda p: p["base_tau"]
    ),
}


def component(name: str, weight: float = 1.0, *, default: str | None = None) -> Callable[[Terms], Any]:
    """A term by its name; a single component stands under the objective's own name (`default`)."""
    return lambda terms: weight * terms.get(name, terms.get(default or name, torch.zeros(())))


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


def tokens(x: Tensor, mask: Tensor | None = None, pooled: Tensor | None = None) -> Encoding:
    mask = torch.ones(x.shape[:2], dtype=torch.bool) if mask is None else mask.bool()
    return Encoding(pooled=x[:, 0] if pooled is None else pooled, tokens=x, mask=mask)


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
