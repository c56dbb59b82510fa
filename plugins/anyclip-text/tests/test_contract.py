"""The kit over all configurations of `cases.py`, and what text towers promise beyond it."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from anyclip.errors import UserError
from anyclip.registry import get_registry
from anyclip.testing import ModalityContract, TowerContract
from anyclip.towers import Tower
from anyclip.towers.create import create_tower

from .cases import CASES

TEXTS = ["a red circle", "two dogs run on the beach", "rain"]


def build(case: str, **more) -> Tower:
    name, options = CASES[case]
    torch.manual_seed(0)
    tower = create_tower(name, **{**options, **more})
    with torch.no_grad():  # fresh models have zeros where a mistake would hide
        for parameter in tower.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return tower


def inputs(tower: Tower, texts=TEXTS) -> dict[str, torch.Tensor]:
    return tower.processor.collate([tower.processor.load(text) for text in texts])


class TestTowers(TowerContract):
    cases: ClassVar = CASES

    def values(self, n):
        return ["a red circle", "two dogs run", "rain", "an old man walks home"][:n]

    def exempt_in(self, case):
        if case.startswith("siglip"):
            return {"padding_is_ignored": "SigLIP was trained to attend to its padding, which has a fixed length"}
        if case == "coca":
            return {"padding_is_ignored": "CoCa's published mask is shifted by one: it sees the first padding"}
        return {}


class TestModality(ModalityContract):
    name = "text"


def test_every_registered_tower_has_a_case():
    ours = {part.spec.name for part in get_registry().parts("tower") if part.distribution == "anyclip-text"}
    assert ours == {name for name, _ in CASES.values()}


@pytest.mark.parametrize("case", CASES)
def test_shapes_and_row_independence(case):
    tower = build(case).eval()
    x = inputs(tower)
    with torch.no_grad():
        whole = tower(x, layers=(0, -1))
        alone = tower(inputs(tower, TEXTS[:1]), layers=())
    rows, length = x["ids"].shape
    assert whole.pooled.shape == (rows, tower.width)
    assert whole.tokens.shape == (rows, length, tower.width)
    assert torch.equal(whole.mask, x["mask"])
    assert {depth: tuple(h.shape[:2]) for depth, h in whole.layers.items()} == {0: (rows, length), -1: (rows, length)}
    assert not torch.allclose(whole.layers[0], whole.layers[-1])
    assert alone.layers == {}
    torch.testing.assert_close(alone.pooled, whole.pooled[:1], rtol=1e-4, atol=1e-5)
    kept = alone.mask[0]
    torch.testing.assert_close(alone.tokens[0][kept], whole.tokens[0][whole.mask[0]], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_embeddings_instead_of_ids(case):
    tower = build(case).eval()
    x = inputs(tower)
    table = tower.token_table()
    with torch.no_grad():
        expected = tower(x)
        longest = int(x["mask"].sum(1).max())
        ids, mask = x["ids"][:, :longest], x["mask"][:, :longest]
        given = tower.forward_embeds(table[ids], mask)
    torch.testing.assert_close(given.pooled, expected.pooled, rtol=1e-4, atol=1e-5)
    embeds = table[ids].detach().requires_grad_()
    tower.forward_embeds(embeds, mask).pooled.sum().backward()
    assert embeds.grad[mask].abs().sum() > 0
    with torch.no_grad():  # nothing stays hooked
        assert torch.equal(tower(x).pooled, expected.pooled)


@pytest.mark.parametrize("case", CASES)
def test_dropped_tokens_are_not_seen(case):
    tower = build(case).eval()
    x = inputs(tower)
    drop = torch.zeros_like(x["mask"])
    drop[:, 1] = True  # an ordinary token; the ends are where models pool
    other = {**x, "ids": x["ids"].clone()}
    other["ids"][:, 1] = x["ids"][:, 1] % 40 + 5
    assert not torch.equal(other["ids"], x["ids"])
    with torch.no_grad():
        one, two, all_seen = tower(x, mask=drop), tower(other, mask=drop), tower(x)
        torch.testing.assert_close(one.pooled, two.pooled, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(one.pooled, all_seen.pooled, atol=1e-4)
    assert torch.equal(one.mask, x["mask"] & ~drop)


@pytest.mark.parametrize("case", ["clip projected", "bert"])
def test_no_cross_attention(case):
    tower = build(case).eval()
    x = inputs(tower)
    with torch.no_grad(), pytest.raises(UserError, match="context"):
        tower.forward_embeds(tower.token_table()[x["ids"]], x["mask"], context=tower(x))
