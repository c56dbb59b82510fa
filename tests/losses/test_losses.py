"""Losses on plain tensors: values that can be said beforehand, options, and shares that add up."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from anyclip import distributed
from anyclip.errors import UserError
from anyclip.losses import create_loss
from anyclip.losses.base import Loss

LOSSES = ["infonce", "siglip"]


def batch(n=7, dim=5, seed=0):
    g = torch.Generator().manual_seed(seed)
    return [F.normalize(torch.randn(n, dim, generator=g, dtype=torch.float64), dim=-1) for _ in range(2)]


def score(a, b):
    return a["embedding"] @ b["embedding"].T


def two_way(a, b):
    """A similarity whose directions differ."""
    s = score(a, b)
    return s, (s * 0.5 + s.square()).T


def test_infonce_of_equal_embeddings_is_the_logarithm_of_their_number():
    a = F.normalize(torch.ones(6, 4), dim=-1)
    assert create_loss("infonce")(a, a).item() == pytest.approx(math.log(6), rel=1e-6)


def test_infonce_is_torch_cross_entropy():
    a, b = batch()
    logits = a @ b.T / 0.07
    labels = torch.arange(7)
    for smoothing in (0.0, 0.2):
        want = sum(F.cross_entropy(x, labels, label_smoothing=smoothing) for x in (logits, logits.T)) / 2
        got = create_loss("infonce", label_smoothing=smoothing)(a, b)
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_siglip_is_binary_cross_entropy_over_all_pairs():
    a, b = batch()
    want = F.binary_cross_entropy_with_logits(10 * a @ b.T - 10, torch.eye(7, dtype=a.dtype), reduction="sum") / 7
    torch.testing.assert_close(create_loss("siglip")(a, b), want, rtol=1e-12, atol=1e-12)


def test_siglip_stays_exact_for_large_scores():
    a = torch.eye(2, dtype=torch.float64)
    got = create_loss("siglip")(a, a, scale=25.0, bias=0.0)
    assert got.item() == pytest.approx((2 * math.log1p(math.exp(-25)) + 2 * math.log(2)) / 2, abs=1e-14)


def test_directions():
    a, b = batch()
    ab = create_loss("infonce", direction_reduction=[1, 0])(a, b)
    ba = create_loss("infonce", direction_reduction=[0, 1])(a, b)
    assert ab != ba
    torch.testing.assert_close(create_loss("infonce")(a, b), (ab + ba) / 2)
    torch.testing.assert_close(create_loss("infonce", direction_reduction="sum")(a, b), ab + ba)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("similarity", [score, two_way])
@pytest.mark.parametrize("blocks", [[7], [3, 0, 4], [1, 1, 5]])
def test_shares_add_up(name, similarity, blocks, monkeypatch):
    """The parts of several processes, gradients included; the default `share` too."""
    monkeypatch.setattr("anyclip.losses.base.world_size", lambda: len(blocks))
    loss = create_loss(name)
    results = []
    for share in (loss.share, lambda *x, **k: Loss.share(loss, *x, **k)):
        a, b = [x.requires_grad_() for x in batch()]
        scale = torch.tensor([5.0], dtype=torch.float64, requires_grad=True)
        bias = torch.tensor([-2.0], dtype=torch.float64, requires_grad=True)
        start, total = 0, torch.zeros(())
        for n in blocks:
            sides = {"embedding": a}, {"embedding": b}
            total = total + share(*sides, slice(start, start + n), score=similarity, scale=scale, bias=bias).sum()
            start += n
        results.append((total, *torch.autograd.grad(total, [a, b, scale, bias])))
    a, b = batch()
    scores = similarity({"embedding": a}, {"embedding": b})
    ab, ba = scores if isinstance(scores, tuple) else (scores, scores.T)
    torch.testing.assert_close(results[0][0].detach(), loss.from_scores(ab, ba, scale=5.0, bias=-2.0))
    for got, want in zip(*results):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_computed_in_float32(name):
    a, b = [x.to(torch.bfloat16) for x in batch()]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = create_loss(name)(a, b)
    assert got.dtype == torch.float32
    assert got == create_loss(name)(a.float(), b.float())


def test_mistakes_are_named():
    with pytest.raises(UserError, match="infonce"):
        create_loss("infoncee")
    with pytest.raises(UserError, match="label_smoothing"):
        create_loss("infonce", label_smooth=0.1)
    with pytest.raises(UserError, match="two weights"):
        create_loss("infonce", direction_reduction=[1.0])
    with pytest.raises(ValueError, match=r"\[7, 5\] and \[6, 5\]"):
        create_loss("infonce")(batch()[0], batch(6)[0])


def test_options_need_no_torch():
    code = "import sys; import anyclip.losses.options; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_process_when_nothing_is_distributed():
    assert (distributed.world_size(), distributed.rank()) == (1, 0)
