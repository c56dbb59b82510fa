"""The kit over all configurations of `cases.py`, and what image towers promise beyond it."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from anyclip.errors import UserError
from anyclip.registry import get_registry
from anyclip.testing import ModalityContract, TowerContract
from anyclip.towers import Encoding, Tower
from anyclip.towers.create import create_tower

from .cases import CASES, DROPPERS
from .conftest import photo


def build(case: str, **more) -> Tower:
    name, options, *_ = CASES[case]
    torch.manual_seed(0)
    return create_tower(name, **{**options, **more})


def inputs(tower: Tower, n: int = 3) -> dict:
    return tower.processor.collate([tower.processor.load(photo(seed=i)) for i in range(n)])


class TestTowers(TowerContract):
    cases: ClassVar = {label: (name, options) for label, (name, options, *_) in CASES.items()}

    def values(self, n):
        return [photo(seed=i) for i in range(n)]


class TestModality(ModalityContract):
    name = "image"


def test_every_registered_tower_has_a_case():
    ours = {part.spec.name for part in get_registry().parts("tower") if part.distribution == "anyclip-image"}
    assert ours == {case[0] for case in CASES.values()}


@pytest.mark.parametrize("case", CASES)
def test_shapes_and_row_independence(case):
    tower = build(case).eval()
    x = inputs(tower)
    with torch.no_grad():
        whole = tower(x, layers=(0, -1))
        one = tower({"pixels": x["pixels"][1:2]}, layers=(0, -1))
    tokens = CASES[case][2]
    assert whole.pooled.shape == (3, tower.width)
    if tokens is None:
        assert whole.tokens is None
        assert whole.extra["feature_map"].shape[0] == 3
    else:
        assert whole.tokens.shape == (3, tokens, tower.width)
        assert whole.mask.shape == (3, tokens)
        assert whole.mask.dtype == torch.bool
        assert whole.mask.all()
        torch.testing.assert_close(one.tokens[0], whole.tokens[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one.pooled[0], whole.pooled[1], rtol=1e-4, atol=1e-5)
    assert {k: v.ndim for k, v in whole.layers.items()} == {0: 3, -1: 3}
    assert Encoding.cat([whole, whole]).pooled.shape[0] == 6


@pytest.mark.parametrize("case", DROPPERS)
def test_a_mask_drops_tokens(case):
    tower = build(case).eval()
    x = inputs(tower)
    tokens = CASES[case][2]
    mask = torch.zeros(3, tokens, dtype=torch.bool)
    mask[:, ::4] = True
    with torch.no_grad():
        whole, cut = tower(x), tower(x, mask=mask)
        nothing = tower(x, mask=torch.zeros_like(mask))
    assert cut.tokens.shape == (3, tokens - int(mask[0].sum()), tower.width)
    assert not torch.allclose(cut.pooled, whole.pooled)
    torch.testing.assert_close(nothing.pooled, whole.pooled)
    # dropped patches have no influence: paint over them
    changed = x["pixels"].clone()
    rows, columns = (s // g for s, g in zip(changed.shape[2:], _grid(tower, tokens)))
    for t in mask[0].nonzero().flatten().tolist():
        y, z = divmod(t, _grid(tower, tokens)[1])
        changed[:, :, y * rows : (y + 1) * rows, z * columns : (z + 1) * columns] = 3.0
    with torch.no_grad():
        torch.testing.assert_close(tower({"pixels": changed}, mask=mask).pooled, cut.pooled)


def _grid(tower, tokens):
    height, width = tower.processor.preprocess.size
    side = int((height * width / tokens) ** 0.5)
    return height // side, width // side


def test_a_mask_is_refused_where_tokens_cannot_be_dropped_or_rows_differ():
    cnn = build("timm-resnet")
    with pytest.raises(UserError, match="cannot drop tokens"):
        cnn(inputs(cnn), mask=torch.zeros(3, 4, dtype=torch.bool))
    vit = build("oc-vit")
    uneven = torch.zeros(3, 16, dtype=torch.bool)
    uneven[0, 0] = True
    with pytest.raises(UserError, match="as many tokens in every row"):
        vit(inputs(vit), mask=uneven)
    with pytest.raises(UserError, match="7 columns, the model 16 patch tokens"):
        vit(inputs(vit), mask=torch.zeros(3, 7, dtype=torch.bool))


@pytest.mark.parametrize("case", [*DROPPERS, "oc-coca"])
def test_patch_dropout_only_in_training(case):
    plain, tower = build(case).eval(), build(case, patch_dropout=0.5)
    tower.load_state_dict(plain.state_dict())
    x = inputs(tower)
    tower.train()
    tokens = CASES[case][2]
    first = tower(x)
    if case != "oc-coca":  # its tokens are queries
        assert first.tokens.shape[1] == tokens // 2
    assert not torch.allclose(tower(x).pooled, tower(x).pooled)
    torch.manual_seed(5)
    again = tower(x).pooled
    torch.manual_seed(5)
    assert torch.equal(tower(x).pooled, again)
    if case in DROPPERS:  # a mask takes its place
        mask = torch.zeros(3, tokens, dtype=torch.bool)
        mask[:, 0] = True
        assert tower(x, mask=mask).tokens.shape[1] == tokens - 1
    tower.eval()
    with torch.no_grad():
        assert torch.equal(tower(x).pooled, plain(x).pooled)


@pytest.mark.parametrize("case", ["timm-convnext", "oc-resnet", "tv-resnet", "hf-convnext", "oc-timm-cnn"])
def test_patch_dropout_is_refused_without_patch_tokens(case):
    with pytest.raises(UserError, match="no patch tokens that could be dropped"):
        build(case, patch_dropout=0.5)


def test_an_unknown_layer_is_refused():
    tower = build("oc-vit")
    with pytest.raises(UserError, match="layer 2 is asked, but this image tower has 2 blocks"):
        tower(inputs(tower), layers=(2,))


def test_frozen_batchnorm_keeps_its_statistics():
    from anyclip.model.freezing import eval_frozen, freeze

    tower = build("timm-resnet")
    freeze(tower, [r"bn\d?\."])
    tower.train()
    eval_frozen(tower)
    before = {k: v.clone() for k, v in tower.state_dict().items() if "running" in k or "num_batches" in k}
    tower(inputs(tower)).pooled.sum().backward()
    after = tower.state_dict()
    changed = [k for k in before if not torch.equal(before[k], after[k])]
    assert [k for k in changed if "bn" in k] == []
