"""Ranks against a brute-force oracle: ties, several positives, ragged tiles, shards."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from anyclip.evaluation import ranks as ranks_module
from anyclip.evaluation.ranks import rank_dot
from anyclip.evaluation.ranks_general import rank_scores
from anyclip.evaluation.relation import Relation
from anyclip.similarities import Similarity, create_similarity


def oracle(scores: torch.Tensor, positive: torch.Tensor, tied: float = 1e-12) -> torch.Tensor:
    """Rank of the best positive per row: plain loops over a full matrix."""
    out = torch.full((len(scores),), torch.nan, dtype=torch.float64)
    for q in range(len(scores)):
        if not positive[q].any():
            continue
        best = scores[q][positive[q]].max()
        gap = scores[q][~positive[q]] - best
        out[q] = 1 + (gap > tied).sum() + 0.5 * (gap.abs() <= tied).sum()
    return out


def mask_of(relation: Relation) -> torch.Tensor:
    mask = torch.zeros(relation.sizes, dtype=torch.bool)
    mask[relation.edges(0, relation.sizes[0])] = True
    return mask


def check(a, b, relation, **kw):
    scores, mask = a.double() @ b.double().T, mask_of(relation)
    got = rank_dot(a, b, relation, **kw)
    torch.testing.assert_close(got.forward, oracle(scores, mask), equal_nan=True, rtol=0, atol=0)
    torch.testing.assert_close(got.backward, oracle(scores.T, mask.T), equal_nan=True, rtol=0, atol=0)
    return got


def unit(n, e, seed):
    return F.normalize(torch.randn(n, e, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.fixture(params=[((512, 1024), None), ((512, 1024), "medium"), ((128, 8), "medium"), ((5, 7), None)], ids=str)
def _tile(request, monkeypatch):
    tile, fast = request.param
    monkeypatch.setattr(ranks_module, "_TILE", tile)
    monkeypatch.setattr(ranks_module, "fast_precision", lambda device: fast)


@pytest.mark.usefixtures("_tile")
@pytest.mark.parametrize("n", [1, 2, 257])
def test_diagonal(n):
    a = unit(n, 24, 0)
    check(a, F.normalize(a + 0.3 * unit(n, 24, 1), dim=1), Relation.diagonal(n))


@pytest.mark.usefixtures("_tile")
def test_exact_ties_of_repeated_vectors():
    table = unit(9, 33, 0)
    pick = torch.arange(200) % 9
    got = check(table[pick], table[pick], Relation.diagonal(200))
    assert got.forward.min() > 10  # 22 or 23 candidates share each vector: about the middle of them


@pytest.mark.usefixtures("_tile")
@pytest.mark.parametrize("noise", [0.05, 0.5, 3.0])
def test_models_of_any_quality(noise):
    a = unit(700, 48, 0)
    check(a, F.normalize(a + noise * unit(700, 48, 1), dim=1), Relation.diagonal(700))


@pytest.mark.usefixtures("_tile")
def test_integer_ties_and_unequal_sides():
    g = torch.Generator().manual_seed(3)
    a, b = (torch.randint(-2, 3, (n, 6), generator=g).float() for n in (150, 90))
    items, hubs = torch.arange(150), torch.randint(0, 40, (150,), generator=g)
    other = torch.randint(0, 40, (90,), generator=g)
    check(a, b, Relation((items, hubs), (torch.arange(90), other), (150, 90)))


def test_collapsed_model_ranks_in_the_middle():
    same = F.normalize(torch.ones(301, 64), dim=1)
    got = check(same, same, Relation.diagonal(301))
    assert got.forward.tolist() == [151.0] * 301
    assert got.backward.tolist() == [151.0] * 301


def test_nearly_collapsed_model():
    base = F.normalize(torch.ones(1, 64), dim=1)
    check(base + 1e-7 * unit(300, 64, 0), base + 1e-7 * unit(300, 64, 1), Relation.diagonal(300))


def test_positives_never_stand_in_the_way():
    a = torch.tensor([[1.0, 0.0]])
    b = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.95, 0.0], [0.0, 1.0]])
    relation = Relation(
        (torch.zeros(2, dtype=torch.long), torch.tensor([0, 1])), (torch.tensor([1, 0]), torch.tensor([0, 1])), (1, 4)
    )
    assert rank_dot(a, b, relation).forward.tolist() == [1.0]
    worse = Relation(
        (torch.zeros(1, dtype=torch.long), torch.tensor([0])), (torch.tensor([1, 3]), torch.tensor([0, 0])), (1, 4)
    )
    assert rank_dot(a, b, worse).forward.tolist() == [3.0]
    assert rank_dot(a, b, worse).backward.isnan().tolist() == [True, False, True, False]


def test_shards_add_up(monkeypatch):
    monkeypatch.setattr(ranks_module, "_TILE", (16, 32))
    a, b = unit(100, 8, 0), unit(100, 8, 1)
    relation = Relation.diagonal(100)
    whole, parts = rank_dot(a, b, relation), []
    for rank in range(3):
        rank_dot(a, b, relation, shard=(rank, 3), reduce=lambda x: parts.append(x.clone()) or x)
    torch.testing.assert_close(1 + sum(parts[0::2]), whole.forward, rtol=0, atol=0)
    torch.testing.assert_close(1 + sum(parts[1::2]), whole.backward, rtol=0, atol=0)


def test_not_finite_is_refused():
    a = unit(4, 3, 0)
    a[2, 1] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        rank_dot(a, unit(4, 3, 1), Relation.diagonal(4))


def test_process_precision_is_overruled_and_restored():
    torch.set_float32_matmul_precision("medium")
    try:
        a = unit(300, 256, 0)
        check(a, F.normalize(a + unit(300, 256, 1), dim=1), Relation.diagonal(300))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


class MaxOfTokens(Similarity):
    decomposable, needs = False, frozenset({"tokens"})

    def scores(self, a, b):
        all_pairs = torch.einsum("ite,jse->ijts", a["tokens"], b["tokens"])
        return all_pairs.amax(-1).mean(-1), all_pairs.amax(-2).mean(-1).T


def test_any_similarity_in_chunks_with_its_own_directions():
    g = torch.Generator().manual_seed(0)
    a, b = ({"tokens": torch.randn(n, t, 5, generator=g)} for n, t in ((33, 3), (21, 4)))
    relation = Relation((torch.arange(33), torch.arange(33) % 7), (torch.arange(21), torch.arange(21) % 9), (33, 21))
    ab, ba = MaxOfTokens().scores(a, b)
    got = rank_scores(MaxOfTokens(), a, b, relation, chunk=8)
    mask = mask_of(relation)
    torch.testing.assert_close(got.forward, oracle(ab.double(), mask, 1e-6), equal_nan=True)
    torch.testing.assert_close(got.backward, oracle(ba.double(), mask.T, 1e-6), equal_nan=True)


def test_both_ways_agree_on_dot_products():
    a, b = unit(70, 16, 0), unit(70, 16, 1)
    one = rank_dot(a, b, Relation.diagonal(70))
    two = rank_scores(create_similarity("cosine"), {"embedding": a}, {"embedding": b}, Relation.diagonal(70), chunk=32)
    assert torch.equal(one.forward, two.forward)
    assert torch.equal(one.backward, two.backward)


def test_counts_of_positives():
    relation = Relation(
        (torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1])), (torch.tensor([0, 1, 2]), torch.tensor([0, 1, 1])), (2, 3)
    )
    of_a, of_b = relation.counts()
    assert of_a.tolist() == [3, 2]
    assert of_b.tolist() == [1, 2, 2]
