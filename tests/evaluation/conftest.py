"""Tiny toy models and tables."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import torch

from anyclip.config import config_from_dict
from anyclip.model import build_model


@pytest.fixture
def toy_config(tmp_path):
    """Config of two toy streams over a manifest, and the manifest writer."""

    def make(rows, *, name="val.jsonl", fields=None, train=None, streams=("left", "right"), **more):
        data = {}
        for split, table in (("val", rows), ("train", train)):
            if table is not None:
                path = tmp_path / (name if split == "val" else "train.jsonl")
                path.write_text("".join(json.dumps(row) + "\n" for row in table))
                data[split] = [{"name": "manifest", "options": {"path": str(path)}, "fields": fields or {}}]
        return config_from_dict(
            {
                "model": {
                    "dim": 8,
                    "towers": {s: {"name": "toy/mlp", "options": {"size": 8, "width": 16}} for s in streams},
                },
                "objectives": [{"pair": list(pair)} for pair in pairwise(streams)],
                "data": {**data, "workers": 0},
                "train": {"steps": 1},
                **more,
            }
        )

    return make


@pytest.fixture
def twin_model():
    """Model of a config whose streams share the weights: equal inputs get equal vectors."""

    def make(config):
        model = build_model(config.model, seed=0)
        first = model.streams[0]
        for stream in model.streams[1:]:
            model.tower(stream).load_state_dict(model.tower(first).state_dict())
            model.projection(stream).load_state_dict(model.projection(first).state_dict())
        return model

    return make


@pytest.fixture
def vectors(tmp_path):
    """n saved vectors: paths for a manifest."""

    def make(n, *, size=8, seed=0, name="v"):
        rng = np.random.default_rng(seed)
        table = rng.standard_normal((n, size)).astype(np.float32)
        for i, row in enumerate(table):
            np.save(tmp_path / f"{name}{i}.npy", row)
        return [f"{name}{i}.npy" for i in range(n)], torch.from_numpy(table)

    return make
