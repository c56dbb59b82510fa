"""Linear probes: separable classes are found, the penalty is chosen, the fit is a minimum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from anyclip.errors import UserError
from anyclip.evaluation import run_evaluations
from anyclip.evaluation.linear_probe import fit_logistic

PROBE = [{"name": "linear_probe", "options": {"stream": "left"}}]


def clusters(tmp_path, n, name, *, spread=0.3, seed=0):
    """Rows of three labelled clusters."""
    centres = np.random.default_rng(99).standard_normal((3, 8)) * 2
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        path = tmp_path / f"{name}{i}.npy"
        np.save(path, (centres[i % 3] + spread * rng.standard_normal(8)).astype(np.float32))
        rows.append({"left": path.name, "right": path.name, "label": f"class {i % 3}"})
    return rows


def test_clusters_are_found(toy_config, twin_model, tmp_path):
    train, val = clusters(tmp_path, 60, "t", seed=1), clusters(tmp_path, 30, "v", seed=2)
    val.append({**val[0], "label": "never trained"})
    config = toy_config(val, train=train, eval=PROBE)
    (result,) = run_evaluations(twin_model(config), config)
    assert result.numbers["left/accuracy"] == 1.0
    assert result.chance["left/accuracy"] == pytest.approx(1 / 3)
    assert result.intervals["left/accuracy"] == (1.0, 1.0)
    assert result.info["training_rows"] == 60
    assert result.info["rows_of_other_classes"] == 1


def test_shuffled_labels_stay_at_chance(toy_config, twin_model, tmp_path):
    train, val = clusters(tmp_path, 90, "t", seed=1), clusters(tmp_path, 60, "v", seed=2)
    rng = np.random.default_rng(0)
    for row in train + val:
        row["label"] = f"class {rng.integers(3)}"
    config = toy_config(val, train=train, eval=PROBE)
    (result,) = run_evaluations(twin_model(config), config)
    assert 0.1 < result.numbers["left/accuracy"] < 0.6
    confusion = result.examples[0]
    assert confusion["kind"] == "confusion"
    assert confusion["taken_for"]


def test_missing_label_names_the_mend(toy_config, twin_model, tmp_path):
    rows = clusters(tmp_path, 6, "v")
    for row in rows:
        del row["label"]
    config = toy_config(rows, train=rows, eval=PROBE)
    with pytest.raises(UserError, match=r"linear_probe: the dataset has no column 'label'"):
        run_evaluations(twin_model(config), config)


def test_fit_is_a_minimum():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(50, 4, generator=g, dtype=torch.float64), torch.randint(0, 3, (50,), generator=g)
    weight, bias = fit_logistic(x, y, 3, 1e-2, 500)
    weight.requires_grad_(), bias.requires_grad_()
    (F.cross_entropy(x @ weight + bias, y) + 0.005 * weight.square().sum()).backward()
    assert max(weight.grad.abs().max(), bias.grad.abs().max()) < 1e-5
