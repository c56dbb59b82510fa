"""A saved toy model and toy files."""

from __future__ import annotations

import numpy as np
import pytest

from anyclip.checkpoint import save_model_folder
from anyclip.config import config_from_dict
from anyclip.model import build_model


@pytest.fixture
def folder(tmp_path):
    """A model folder: streams left and right, both toy, with equal weights."""
    tower = {"name": "toy/mlp", "options": {"size": 8, "width": 16}}
    config = config_from_dict(
        {"model": {"dim": 6, "towers": {"left": tower, "right": tower}}, "objectives": [{"pair": ["left", "right"]}]}
    )
    model = build_model(config.model, seed=0)
    model.tower("right").load_state_dict(model.tower("left").state_dict())
    model.projection("right").load_state_dict(model.projection("left").state_dict())
    return save_model_folder(tmp_path / "model", model, config)


@pytest.fixture
def files(tmp_path):
    """Twelve .toy.npy files in a folder."""
    table = np.random.default_rng(0).standard_normal((12, 8)).astype(np.float32)
    (tmp_path / "toys" / "deep").mkdir(parents=True)
    paths = [tmp_path / "toys" / ("deep" if i % 2 else "") / f"{i:02d}.toy.npy" for i in range(12)]
    for path, row in zip(paths, table):
        np.save(path.with_name(path.name), row)
    return [str(p) for p in paths]
