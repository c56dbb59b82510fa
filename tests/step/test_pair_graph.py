"""Edges of the pair graph: sum rule, negatives, shared scales, schedules; recorded values where there are any."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from anyclip.errors import ConfigError, UserError
from anyclip.losses import create_loss
from anyclip.losses.base import Candidates
from anyclip.testing.graph import Graph
from anyclip.testing.reference import cases, differences

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("ANYCLIP_REFERENCE", ROOT.parent / "shared" / "reference")) / "losses"


def evaluate(objectives, x, scales, *, reduction="sum", present=None, fields=None):
    """(total, terms) of a graph whose edges have the given scales."""
    streams = sorted({s for o in objectives for s in o["pair"]})
    graph = Graph(objectives, streams, dim=x[streams[0]].shape[1], reduction=reduction)
    graph.set_scales(scales)
    return graph({s: x[s] for s in streams}, present=present, fields=fields)


def edge(pair, **more):
    return {"pair": list(pair), "similarity": "dot", **more}


def multimodal(x, p, negatives="pair"):
    streams = [s for s in "abcd" if s in x]
    pairs = [c for c in combinations(streams, 2) if p.get("anchor") in (None, *c)]
    present = {s: x["present"][:, i].bool() for i, s in enumerate(streams)}
    edges = [edge(pair, negatives=negatives) for pair in pairs]
    return evaluate(edges, x, [p["scale"]] * len(pairs), reduction="mean", present=present)


def ulip(x, p):
    edges = [{"pair": ["a", "b"]}, {"pair": ["a", "c"]}]
    return evaluate(edges, x, [p["scale"]] * 2)[0]


def uni3d(x, p):
    """The second edge at the level of the loss: the recorded rows without an image bring vectors of their own."""
    first, _ = evaluate([{"pair": ["a", "b"]}], x, [p["scale"]])
    kept = x["present_c"].nonzero()[:, 0]
    sides = [Candidates({"embedding": F.normalize(x[s], dim=1)}, kept) for s in "ac"]
    score = lambda a, c: a["embedding"] @ c["embedding"].T  # noqa: E731
    wide = create_loss("infonce").wide_share(*sides, slice(0, len(kept)), score=score, scale=p["scale"])
    return first + wide


def audioclip(x, p):
    options = {"direction_reduction": "sum", "sample_weights": "sample_weights" in x}
    edges = [edge(pair, loss={"name": "infonce", "options": options}) for pair in p["pairs"]]
    fields = {"sample_weights": x["sample_weights"]} if "sample_weights" in x else None
    scales = [torch.as_tensor(p[f"scale_{pair}"]) for pair in p["pairs"]]
    return evaluate(edges, x, scales, reduction="factorial", fields=fields)[0]


OBJECTIVES = {
    "multimodal_pairs": lambda x, p: multimodal(x, p)[0],
    "ulip": ulip,
    "uni3d": uni3d,
    "audioclip": audioclip,
}


def recorded(objective):
    if not (FOLDER / f"{objective}.json").exists():
        pytest.skip(f"no reference values: {objective}.json is not there (set ANYCLIP_REFERENCE to their folder)")
    return list(cases(FOLDER, objective))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_recorded_values_and_gradients(objective):
    worst = {}
    for case in recorded(objective):
        for name, share in differences(case, OBJECTIVES[objective]).items():
            worst[f"{case.data['id']} {name}"] = share
    assert worst
    assert max(worst.values()) < 1, worst


def test_recorded_values_of_both_rules_for_each_pair():
    for case in recorded("multimodal_pairs"):
        x, want = case.inputs(torch.float64), case.data["float64"]
        scale = {**case.data["params"], "scale": torch.tensor(case.data["params"]["scale"], dtype=torch.float64)}
        for rule, negatives in (("A", "pair"), ("B", "modality")):
            total, terms = multimodal(x, scale, negatives)
            counted = {name.replace("-", ""): value.item() for name, value in terms.items()}
            for pair in (key[2:] for key in want if key.startswith(f"{rule}_") and len(key) == 4):
                assert counted[pair] == pytest.approx(want[f"{rule}_{pair}"], rel=1e-10)
            assert total.item() == pytest.approx(want["loss" if rule == "A" else "B_mean"], rel=1e-10)


def toy_embeddings(n=9, dim=6):
    generator = torch.Generator().manual_seed(4)
    x = {s: F.normalize(torch.randn(n, dim, generator=generator, dtype=torch.float64), dim=1) for s in "abc"}
    present = {s: torch.rand(n, generator=generator) < 0.6 for s in "abc"}
    return x, present


def test_all_rows_stay_and_an_absent_one_scores_zero():
    x, present = toy_embeddings()
    scale = torch.tensor(7.0, dtype=torch.float64)
    total, _ = evaluate([edge("ab", negatives="all")], x, [scale], present=present)
    a, b = ((x[s] * present[s][:, None]) for s in "ab")
    logits, kept = scale * a @ b.T, (present["a"] & present["b"]).nonzero()[:, 0]
    want = (F.cross_entropy(logits[kept], kept) + F.cross_entropy(logits.T[kept], kept)) / 2
    assert 2 <= len(kept) < present["a"].sum() < 9
    torch.testing.assert_close(total, want)


def test_wider_negatives_are_the_same_when_nothing_is_missing():
    x, _ = toy_embeddings()
    scale = torch.tensor(7.0, dtype=torch.float64)
    totals = [evaluate([edge("ab", negatives=n)], x, [scale])[0].item() for n in ("pair", "modality", "all")]
    assert totals[0] == pytest.approx(totals[1], rel=1e-12)
    assert totals[0] == pytest.approx(totals[2], rel=1e-12)


def test_label_smoothing_of_wider_negatives():
    x, present = toy_embeddings()
    loss = {"name": "infonce", "options": {"label_smoothing": 0.2, "direction_reduction": [1.0, 0.0]}}
    total, _ = evaluate([edge("ab", negatives="modality", loss=loss)], x, [torch.tensor(3.0)], present=present)
    queries, keys = (present["a"] & present["b"]).nonzero()[:, 0], present["b"].nonzero()[:, 0]
    logits = 3 * x["a"][queries] @ x["b"][keys].T
    want = F.cross_entropy(logits, torch.searchsorted(keys, queries), label_smoothing=0.2)
    torch.testing.assert_close(total, want)


def test_absent_values_reach_no_loss_and_get_no_gradient():
    for negatives in ("pair", "modality", "all"):
        x, present = toy_embeddings()
        x = {s: v.requires_grad_() for s, v in x.items()}
        edges = [edge(p, negatives=negatives) for p in ("ab", "bc", "ac")]
        evaluate(edges, x, [torch.tensor(5.0)] * 3, present=present)[0].backward()
        for s in "abc":
            assert not x[s].grad[~present[s]].any()
            assert x[s].grad[present[s]].any()


def test_a_stream_with_itself():
    graph = Graph([{"pair": ["a", "a#1"], "loss": "infonce", "scale": {"init": 4.0}}], ["a"], dim=6)
    x, _ = toy_embeddings()
    got, _ = graph({"a": x["a"].float(), "a#1": x["b"].float()})
    want = create_loss("infonce")(x["a"].float(), x["b"].float(), scale=4.0)
    torch.testing.assert_close(got, want)


def test_edges_share_one_scale():
    share = {"init": 3.0, "share": "s"}
    graph = Graph([{"pair": list(p), "scale": share} for p in ("ab", "bc")], "abc", dim=6)
    first, second = graph.scales()
    assert first is second
    x, _ = toy_embeddings()
    total, _ = graph({s: v.float() for s, v in x.items()})
    (both,) = torch.autograd.grad(total, first)
    parts = []
    for p in ("ab", "bc"):
        one = Graph([{"pair": list(p), "scale": {"init": 3.0}}], p, dim=6)
        parts.append(torch.autograd.grad(one({s: x[s].float() for s in p})[0], one.scales()[0])[0])
    torch.testing.assert_close(both, sum(parts))


def test_a_term_starts_and_rises():
    settings = {"weight": 0.5, "start": 3, "ramp": 4}
    graph = Graph([{"pair": ["a", "b"]}, {"pair": ["b", "c"], **settings}], "abc", dim=6)
    x = {s: v.float() for s, v in toy_embeddings()[0].items()}
    first, second = graph(x, step=100)[1].values()
    for step, factor in {0: 0, 2: 0, 3: 0.125, 4: 0.25, 5: 0.375, 6: 0.5, 7: 0.5, 100: 0.5}.items():
        total, terms = graph(x, step=step)
        torch.testing.assert_close(total, first + factor * second)
        assert ("b-c" in terms) == (factor > 0)
        assert graph.objectives.streams_at(step) == (["a", "b", "c"] if factor else ["a", "b"])


def test_reductions_count_the_edges_that_take_part():
    x = {s: v.float() for s, v in toy_embeddings()[0].items()}
    edges = [{"pair": list(p), "start": start} for p, start in (("ab", 0), ("bc", 5), ("ac", 5))]
    for reduction, divisor in (("sum", 1), ("mean", 3), ("factorial", 6)):
        graph = Graph(edges, "abc", dim=6, reduction=reduction)
        total, terms = graph(x, step=0)
        torch.testing.assert_close(total, terms["a-b"])
        total, terms = graph(x, step=5)
        torch.testing.assert_close(total, sum(terms.values()) / divisor)


def test_what_cannot_have_wider_negatives_is_refused():
    with pytest.raises((UserError, ConfigError), match="not defined"):
        Graph([{"pair": ["a", "b"], "loss": "siglip", "negatives": "all"}], "ab", dim=6)
    loss = {"name": "infonce", "options": {"margin": 0.1}}
    with pytest.raises((UserError, ConfigError), match="margin"):
        Graph([{"pair": ["a", "b"], "loss": loss, "negatives": "modality"}], "ab", dim=6)


def test_a_schedule_that_never_begins_is_refused():
    with pytest.raises(ConfigError, match="the earliest start is 0"):
        Graph([{"pair": ["a", "b"], "start": 2}], "ab", dim=6)
