"""Retrieval on data: equal contents, missing and broken values, groups, intervals, chance."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from anyclip.errors import UserError
from anyclip.evaluation import run_evaluations
from anyclip.evaluation.intervals import bootstrap, chance_median, chance_rank, chance_recall
from anyclip.evaluation.macro import over_targets
from anyclip.evaluation.relation import Relation


def test_a_twin_model_finds_everything(toy_config, twin_model, vectors):
    paths, _ = vectors(40)
    config = toy_config([{"left": p, "right": p} for p in paths])
    (result,) = run_evaluations(twin_model(config), config)
    assert result.numbers["left->right/R@1"] == 1.0
    assert result.numbers["right->left/median_rank"] == 1.0
    assert result.intervals["left->right/R@1"] == (1.0, 1.0)
    assert result.chance["left->right/R@1"] == pytest.approx(1 / 40)
    assert result.chance["left->right/R@10"] == pytest.approx(10 / 40)
    assert result.chance["left->right/mean_rank"] == pytest.approx(20.5)
    assert result.info["trained"] is True
    assert result.info["items"] == {"left": 40, "right": 40}


def test_equal_contents_are_one_item_even_under_two_names(toy_config, twin_model, vectors, tmp_path):
    paths, _ = vectors(6)
    (tmp_path / "again.npy").write_bytes((tmp_path / paths[0]).read_bytes())
    rows = [{"left": p, "right": p} for p in paths]
    rows += [{"left": paths[1], "right": "again.npy"}]  # a second row for right item 0
    config = toy_config(rows)
    (result,) = run_evaluations(twin_model(config), config)
    assert result.info["items"] == {"left": 6, "right": 6}
    assert result.numbers["left->right/R@1"] == 1.0  # left 1 has two right answers, the best counts
    assert result.numbers["right->left/R@1"] == 1.0


def test_rows_that_lack_a_stream_or_hold_a_broken_value_are_left_out_and_named(
    toy_config, twin_model, vectors, tmp_path
):
    paths, _ = vectors(5)
    (tmp_path / "broken.npy").write_bytes(b"no vector")
    rows = [{"left": p, "right": p} for p in paths]
    rows += [{"left": paths[0]}, {"left": "broken.npy", "right": paths[0]}, {"left": "gone.npy", "right": paths[1]}]
    config = toy_config(rows)
    (result,) = run_evaluations(twin_model(config), config)
    assert result.info["items"] == {"left": 5, "right": 5}
    bad = result.info["bad"]
    assert bad["values"] == 2
    assert {b["sample"].rpartition("/")[2] for b in bad["first"]} == {"val.jsonl:7", "val.jsonl:8"}
    assert any("gone.npy" in b["reason"] for b in bad["first"])
    assert {b["stream"] for b in bad["first"]} == {"left"}


def test_a_group_makes_all_its_rows_right_answers(toy_config, twin_model, vectors):
    paths, _ = vectors(8)
    rows = [{"left": paths[i], "right": paths[i ^ 1], "thing": i // 2} for i in range(8)]
    own = toy_config(rows)
    grouped = toy_config(rows, eval=[{"name": "retrieval", "options": {"group": "thing"}}])
    model = twin_model(own)
    assert run_evaluations(model, own)[0].numbers["left->right/R@1"] == 0.0
    (result,) = run_evaluations(model, grouped)
    assert result.numbers["left->right/R@1"] == 1.0
    assert result.chance["left->right/R@1"] == pytest.approx(2 / 8)


def test_unknown_group_and_stream_say_what_to_do(toy_config, twin_model, vectors):
    paths, _ = vectors(3)
    rows = [{"left": p, "right": p} for p in paths]
    config = toy_config(rows, eval=[{"name": "retrieval", "options": {"group": "thing"}}])
    with pytest.raises(UserError, match=r"no column 'thing'.*fields: \{thing: COLUMN\}"):
        run_evaluations(twin_model(config), config)


def test_every_pair_is_measured_and_untrained_ones_are_marked(toy_config, twin_model, vectors):
    paths, _ = vectors(4)
    config = toy_config([{"left": p, "right": p, "third": p} for p in paths], streams=("left", "right", "third"))
    results = run_evaluations(twin_model(config), config)
    trained = {tuple(r.info["pair"]): r.info["trained"] for r in results}
    assert trained == {("left", "right"): True, ("left", "third"): False, ("right", "third"): True}


def test_examples_name_what_was_found(toy_config, twin_model, vectors):
    paths, _ = vectors(30)
    config = toy_config([{"left": p, "right": p} for p in paths])
    (result,) = run_evaluations(twin_model(config), config)
    matrix = [e for e in result.examples if e["kind"] == "matrix"]
    assert len(matrix) == 1
    assert np.array(matrix[0]["scores"]).shape == (24, 24)
    assert np.allclose(np.diag(matrix[0]["scores"]), 1, atol=1e-3)
    queries = [e for e in result.examples if e["kind"] == "query"]
    assert {e["direction"] for e in queries} == {"left->right", "right->left"}
    assert all(e["found"][0]["right"] for e in queries)


def test_several_datasets_are_told_apart(toy_config, twin_model, vectors):
    paths, _ = vectors(4)
    config = toy_config([{"left": p, "right": p} for p in paths])
    config.data.val.append(config.data.val[0])
    names = [name for r in run_evaluations(twin_model(config), config) for name in r.numbers]
    assert "val:left->right/R@1" in names
    assert "val~2:left->right/R@1" in names
    assert len(names) == len(set(names))


def test_two_evaluations_of_one_kind_do_not_share_names(toy_config, twin_model, vectors):
    paths, _ = vectors(4)
    rows = [{"left": p, "right": p, "thing": i // 2} for i, p in enumerate(paths)]
    config = toy_config(rows, eval=["retrieval", {"name": "retrieval", "options": {"group": "thing"}}])
    assert [r.name for r in run_evaluations(twin_model(config), config)] == ["retrieval", "retrieval~2"]


def test_bootstrap_is_seeded_and_covers():
    hits = (np.arange(400) < 120).astype(float)
    metric = {"m": lambda d: d.mean(axis=1)}
    low, high = bootstrap(hits, metric, seed=1)["m"]
    assert (low, high) == bootstrap(hits, metric, seed=1)["m"]
    assert low < 0.3 < high
    expected = 1.96 * (0.3 * 0.7 / 400) ** 0.5
    assert (high - low) / 2 == pytest.approx(expected, rel=0.1)


def test_chance_against_simulation():
    rng = np.random.default_rng(0)
    n, p = 20, 3
    best = np.array([rng.permutation(n)[:p].min() for _ in range(20000)])
    positives = np.full(7, p)
    assert chance_recall(positives, n, 5) == pytest.approx((best < 5).mean(), abs=0.01)
    assert chance_rank(positives, n) == pytest.approx((best + 1).mean(), rel=0.02)
    assert chance_median(np.array([1]), 9) == 5.0
    assert chance_recall(np.array([3]), 4, 2) == 1.0


def test_macro_recall_counts_a_shared_right_answer_once(toy_config, twin_model, vectors):
    paths, _ = vectors(12)
    rows = [{"left": paths[i], "right": paths[0]} for i in range(8)]  # only row 0 finds it first
    rows += [{"left": paths[i], "right": paths[i]} for i in range(8, 12)]
    options = {"ks": [1, 3], "macro": True, "bootstrap": 50}
    config = toy_config(rows, eval=[{"name": "retrieval", "options": options}])
    (result,) = run_evaluations(twin_model(config), config)
    of_shared = result.numbers["left->right/R@1"] * 12 - 4  # how many of the 8 have it first
    assert 1 <= of_shared < 8
    assert result.numbers["left->right/macro_R@1"] == pytest.approx((of_shared / 8 + 4) / 5)
    assert result.chance["left->right/macro_R@1"] == pytest.approx(1 / 5)
    assert result.chance["right->left/macro_R@3"] != result.chance["right->left/R@3"]
    low, high = result.intervals["left->right/macro_R@1"]
    assert low < result.numbers["left->right/macro_R@1"] <= high
    assert result.info["right_answers"] == {"left->right": 5, "right->left": 12}


def test_over_targets_leaves_out_what_is_not_asked():
    values = np.array([[1.0], [0.0], [np.nan]])
    assert over_targets(Relation.diagonal(3), values, forward=True).tolist() == [[1.0], [0.0]]
    items, shared = torch.arange(3), torch.zeros(3, dtype=torch.long)
    together = Relation((items, shared), (torch.tensor([0]), torch.tensor([0])), (3, 1))
    assert over_targets(together, values, forward=True).tolist() == [[0.5]]
    assert over_targets(together, np.array([[0.25]]), forward=False).tolist() == [[0.25]] * 3
