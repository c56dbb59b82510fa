"""Searches for the weights of tokens and for one sentence of each class that classify most rows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

_CHUNK = 2**24  # scores handled at a time


def accuracy(scores: Tensor, truth: Tensor) -> float:
    """Share of rows [N, C] whose highest score is that of the right class [N]."""
    return float((scores.argmax(dim=1) == truth).double().mean())


def search_weights(
    scores: Tensor, truth: Tensor, values: Sequence[float], first: Tensor, *, exhaustive: int, starts: int, seed: int
) -> Tensor:
    """Weights [T] from `values` that classify most rows by the weighted sum of scores [N, T, C].

    Every combination where there are at most `exhaustive`; otherwise one weight after the other until none helps, from
    equal weights and from `starts` random ones. `first` [T] stays where nothing is better.
    """
    count = scores.shape[1]
    best, most = first, _hits(scores, truth, first[None])[0]
    if len(values) ** count <= exhaustive:
        tried = torch.tensor([some for some in itertools.product(values, repeat=count) if any(some)])
        hits = _hits(scores, truth, tried)
        return tried[hits.argmax()] if hits.max() > most else best
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(values), (starts, count), generator=generator)
    for start in [first, *torch.tensor(values)[drawn]]:
        found, hits = _climb(scores, truth, values, start)
        if hits > most:
            best, most = found, hits
    return best


def _climb(scores: Tensor, truth: Tensor, values: Sequence[float], start: Tensor) -> tuple[Tensor, Tensor]:
    """Change the weight that helps most until none does."""
    best, most = start, _hits(scores, truth, start[None])[0]
    while True:
        tried = best.repeat(len(best) * len(values), 1)
        place = torch.arange(len(best)).repeat_interleave(len(values))
        tried[torch.arange(len(tried)), place] = torch.tensor(values).repeat(len(best)).to(tried.dtype)
        tried = tried[tried.any(dim=1)]
        hits = _hits(scores, truth, tried) if len(tried) else most[None] - 1
        if not hits.max() > most:
            return best, most
        best, most = tried[hits.argmax()], hits.max()


def _hits(scores: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """Rows that each of the weights [K, T] classifies rightly."""
    step = max(1, _CHUNK // (len(scores) * scores.shape[2]))
    parts = [torch.einsum("kt,ntc->knc", part, scores) for part in weights.split(step)]
    return torch.cat([(part.argmax(dim=2) == truth).sum(dim=1) for part in parts])


def search_sentences(
    vectors: Tensor, truth: Tensor, sentences: Sequence[Tensor], chosen: Sequence[int], passes: int
) -> list[int]:
    """Of each class the sentence with which most rows are classified rightly, class after class.

    vectors [N, E]; sentences: unit vectors [S, E] of each class; chosen: where to start, -1: the mean of a class's
    sentences. A class's choice changes when more rows are right.
    """
    chosen = list(chosen)
    with_mean = [torch.cat([part, F.normalize(part.mean(0, keepdim=True), dim=-1)]) for part in sentences]
    scores = vectors @ torch.stack([part[k] for part, k in zip(with_mean, chosen)]).T
    for _ in range(passes):
        before = list(chosen)
        for c, part in enumerate(with_mean):
            hits = _hits_with(scores, truth, c, vectors @ part.T)
            k = int(hits.argmax())
            if hits[k] > hits[chosen[c]]:
                chosen[c] = k if k < len(part) - 1 else -1
                scores[:, c] = vectors @ part[k]
        if chosen == before:
            break
    return chosen


def _hits_with(scores: Tensor, truth: Tensor, c: int, columns: Tensor) -> Tensor:
    """Rows that are right when the scores of class c are each of the columns [N, S]."""
    others = scores.clone()
    others[:, c] = -torch.inf
    highest, guess = others.max(dim=1)
    wins = columns > highest[:, None]
    right = torch.where(truth[:, None] == c, wins, ~wins & (guess == truth)[:, None])
    return right.sum(dim=0)
