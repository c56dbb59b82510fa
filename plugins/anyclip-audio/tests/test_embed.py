"""The broken files through a whole model: good ones get finite vectors, the others are named with their reason."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from anyclip.config import config_from_dict
from anyclip.inference import embed_values
from anyclip.model import build_model

from .cases import CASES
from .conftest import expected_sounds


def test_the_broken_files_through_embedding(broken):
    name, options = CASES["pann"]
    config = config_from_dict(
        {
            "model": {"dim": 8, "towers": {"audio": {"name": name, "options": options}}},
            "objectives": [{"pair": ["audio", "audio#1"], "loss": "infonce"}],
            "data": {"train": [{"name": "manifest", "options": {"path": "x.csv"}}]},
            "train": {"steps": 1},
        }
    )
    model = build_model(config.model)
    rows = expected_sounds()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the overdriven one
        found = embed_values(model, "audio", [str(broken / row["file"]) for row in rows], batch_size=5)
    assert torch.isfinite(found.vectors).all()
    np.testing.assert_allclose(found.vectors.norm(dim=-1), 1.0, atol=1e-5)
    refused = dict(found.errors)
    assert set(refused) | set(found.rows.tolist()) == set(range(len(rows)))
    for i, row in enumerate(rows):
        if row["expect"].startswith("ok"):
            assert i not in refused, row
        else:
            assert row["file"].split("/")[1] in refused[i]
