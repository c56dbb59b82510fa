"""Searches find what was planted, and keep what they were given where nothing is better."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from anyclip.evaluation.searching import accuracy, search_sentences, search_weights

CLASSES, ROWS = 5, 60
VALUES = [0.25, 0.5, 0.75, 1.0]
SETTINGS = {"exhaustive": 0, "starts": 4, "seed": 0}


def planted(tokens: int, good: list[int], noise: float = 1.2, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores [N, T, C]: the good tokens know the class, the others another one."""
    g = torch.Generator().manual_seed(seed)
    truth = torch.arange(ROWS) % CLASSES
    scores = noise * torch.randn(ROWS, tokens, CLASSES, generator=g)
    for t in range(tokens):
        scores[torch.arange(ROWS), t, truth if t in good else (truth + 1) % CLASSES] += 3.0
    return scores, truth


def hits(scores: torch.Tensor, truth: torch.Tensor, weights: torch.Tensor) -> float:
    return accuracy(torch.einsum("ntc,t->nc", scores, weights), truth)


def test_good_tokens_get_more_weight():
    scores, truth = planted(4, good=[1, 3])
    equal = torch.ones(4)
    every = search_weights(scores, truth, VALUES, equal, **{**SETTINGS, "exhaustive": 4**4})
    climbed = search_weights(scores, truth, VALUES, equal, **SETTINGS)
    for weights in (every, climbed):
        assert min(weights[[1, 3]]) > max(weights[[0, 2]])
        assert hits(scores, truth, weights) > hits(scores, truth, equal) + 0.1
    assert hits(scores, truth, climbed) <= hits(scores, truth, every)


def test_every_combination_is_tried():
    scores, truth = planted(3, good=[0], seed=2)
    found = search_weights(scores, truth, VALUES, torch.ones(3), **{**SETTINGS, "exhaustive": 64})
    best = max(hits(scores, truth, torch.tensor([a, b, c])) for a in VALUES for b in VALUES for c in VALUES)
    assert hits(scores, truth, found) == best


def test_what_cannot_be_improved_stays():
    truth = torch.arange(ROWS) % CLASSES
    scores = F.one_hot(truth, CLASSES).float()[:, None].repeat(1, 3, 1)
    first = torch.tensor([0.5, 1.0, 0.5])
    for exhaustive in (0, 1000):
        found = search_weights(scores, truth, VALUES, first, **{**SETTINGS, "exhaustive": exhaustive})
        assert torch.equal(found, first)


def test_no_combination_is_all_zero():
    scores, truth = planted(2, good=[], noise=0.0)
    for exhaustive in (0, 1000):
        found = search_weights(scores, truth, [0.0, 1.0], torch.ones(2), **{**SETTINGS, "exhaustive": exhaustive})
        assert found.any()


def test_the_sentence_that_says_it_is_taken():
    """Each class has one sentence along its axis and two that point at the class after it."""
    axes = torch.eye(CLASSES)
    truth = torch.arange(ROWS) % CLASSES
    vectors = F.normalize(axes[truth] + 0.1 * torch.randn(ROWS, CLASSES, generator=torch.Generator().manual_seed(1)))
    sentences = [torch.stack([axes[(c + 1) % CLASSES], axes[c], axes[(c + 1) % CLASSES]]) for c in range(CLASSES)]
    means = [F.normalize(part.mean(0), dim=0) for part in sentences]
    before = accuracy(vectors @ torch.stack(means).T, truth)
    chosen = search_sentences(vectors, truth, sentences, [-1] * CLASSES, passes=4)
    after = accuracy(
        vectors @ torch.stack([m if k < 0 else p[k] for m, p, k in zip(means, sentences, chosen)]).T, truth
    )
    assert before < 0.1
    assert after == 1.0
    again = search_sentences(vectors, truth, sentences, chosen, passes=4)
    assert again == chosen  # nothing is better


def test_counts_are_those_of_trying(monkeypatch):
    """The quick count of a class's columns against putting each in its place."""
    from anyclip.evaluation.searching import _hits_with

    g = torch.Generator().manual_seed(3)
    scores, columns = torch.randn(40, 4, generator=g), torch.randn(40, 6, generator=g)
    truth = torch.randint(4, (40,), generator=g)
    for c in range(4):
        slow = []
        for s in range(6):
            tried = scores.clone()
            tried[:, c] = columns[:, s]
            slow.append(int((tried.argmax(1) == truth).sum()))
        assert _hits_with(scores, truth, c, columns).tolist() == slow
