"""Zero-shot classification with a small modality of words, registered for the test."""

from __future__ import annotations

import json
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from anyclip.errors import UserError
from anyclip.evaluation import run_evaluations
from anyclip.evaluation.zero_shot import _places
from anyclip.processors import Processor
from anyclip.registry import Part, PluginRow, Registry, get_registry, use_registry
from anyclip.specs import ModalitySpec, TowerSpec
from anyclip.towers import Encoding, Tower

CENTRES = {"ant": 0, "bee": 1, "cat": 2, "dog": 3, "elk": 4, "fox": 5, "gnu": 6}


class Words(Processor):
    def load(self, value, *, rng=None):
        known = [CENTRES[w] for w in value.split() if w in CENTRES]
        return torch.eye(8)[known[0]] if known else torch.eye(8)[7]

    def collate(self, samples):
        return torch.stack(samples)

    def placeholder(self):
        return torch.zeros(8)


class WordTower(Tower):
    """Word k -> unit vector k."""

    def __init__(self):
        super().__init__()
        self.width, self.processor = 8, Words()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, inputs, *, mask=None, layers=()):
        return Encoding(pooled=inputs * self.scale)


class Raw(WordTower):
    """Vectors as they are."""

    def __init__(self):
        super().__init__()
        from anyclip.testing.toy import ToyProcessor

        self.processor = ToyProcessor(8)


class Views(Raw):
    """Three tokens: the vector twice, and between them one that points at the next word; `pooled` is their sum."""

    def forward(self, inputs, *, mask=None, layers=()):
        tokens = torch.stack([inputs, 3 * inputs.roll(1, dims=1), inputs], dim=1) * self.scale
        return Encoding(tokens.sum(1), tokens=tokens, mask=torch.ones(tokens.shape[:2], dtype=torch.bool))


@pytest.fixture
def _words():
    module = types.ModuleType("words_for_test")
    module.WordTower, module.Raw, module.Views = WordTower, Raw, Views
    sys.modules["words_for_test"] = module
    specs = [
        ModalitySpec(name="word", summary="words", string_is_value=True),
        TowerSpec(name="word/table", target="words_for_test:WordTower", summary="words"),
        TowerSpec(name="toy/views", target="words_for_test:Views", summary="tokens"),
        TowerSpec(name="toy/raw", target="words_for_test:Raw", summary="vectors as they are"),
    ]
    rows = [r for r in get_registry().rows if r.distribution == "anyclip"]
    toy = get_registry().modality("toy")
    prompts = [replace(toy, prompts=("a {}", "the {} here"))]
    base = PluginRow("a", "a", "1", parts=[p for p in rows[0].parts if p.spec.name != "toy"])
    extra = PluginRow("b", "b", "1", parts=[Part(s, "b", "1") for s in [*specs, *prompts]])
    with use_registry(Registry([base, extra])):
        yield
    del sys.modules["words_for_test"]


@pytest.fixture
def setup(tmp_path, _words):
    from anyclip.config import config_from_dict
    from anyclip.model import build_model

    def make(rows, evaluation="zero_shot", tower="toy/raw", train=None, **options):
        path = tmp_path / "val.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        config = config_from_dict(
            {
                "model": {
                    "dim": 8,
                    "towers": {
                        "thing": {"name": tower, "projection": "identity"},
                        "word": {"name": "word/table", "projection": "identity"},
                    },
                },
                "objectives": [{"pair": ["thing", "word"]}],
                "data": {"val": [{"name": "manifest", "options": {"path": str(path)}}], "workers": 0},
                "eval": [{"name": evaluation, "options": options}],
            }
        )
        if train is not None:
            (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in train))
            config.data.train = [replace(config.data.val[0], options={"path": str(tmp_path / "train.jsonl")})]
        return build_model(config.model, seed=0), config

    def rows(names, label=lambda name: name, noise=0.05):
        rng = np.random.default_rng(0)
        made = []
        for i, name in enumerate(names):
            vector = np.eye(8)[CENTRES[name]] + noise * rng.standard_normal(8)
            np.save(tmp_path / f"{i}.npy", vector.astype(np.float32))
            made.append({"thing": f"{i}.npy", "label": label(name)})
        return made

    return make, rows


def test_right_class_by_label_column(setup):
    make, rows = setup
    model, config = make(rows(list(CENTRES) * 4))
    (result,) = run_evaluations(model, config)
    assert result.numbers == {"thing/top1": 1.0, "thing/top5": 1.0, "thing/mean_class": 1.0}
    assert result.chance["thing/top1"] == pytest.approx(1 / 7)
    assert result.chance["thing/top5"] == pytest.approx(5 / 7)
    assert result.info["trained"] is True


def test_mean_over_classes_and_confusions(setup):
    make, rows = setup
    table = rows(["ant"] * 9 + ["bee"])
    table[-1]["label"] = "cat"  # looks like a bee, is called a cat
    model, config = make(table, classes=["ant", "bee", "cat"])
    (result,) = run_evaluations(model, config)
    assert result.numbers["thing/top1"] == pytest.approx(0.9)
    assert result.numbers["thing/mean_class"] == pytest.approx(0.5)
    (worst,) = result.examples
    assert (worst["class"], worst["accuracy"], worst["taken_for"]) == ("cat", 0.0, [["bee", 1]])


def test_prompts_of_a_file(setup, tmp_path):
    make, rows = setup
    (tmp_path / "prompts.json").write_text(json.dumps({"insect": ["an ant", "a bee"], "beast": ["cat", "dog"]}))
    kinds = {"ant": "insect", "bee": "insect", "cat": "beast", "dog": "beast"}
    model, config = make(rows(list(kinds), label=kinds.get), prompts=str(tmp_path / "prompts.json"))
    (result,) = run_evaluations(model, config)
    assert result.numbers["thing/top1"] == 1.0


def test_a_class_without_prompts_is_named(setup, tmp_path):
    make, rows = setup
    (tmp_path / "prompts.json").write_text(json.dumps({"ant": ["ant"]}))
    model, config = make(rows(["ant", "bee"]), prompts=str(tmp_path / "prompts.json"))
    with pytest.raises(UserError, match="no prompts for 1 classes: bee"):
        run_evaluations(model, config)


def test_equal_prompts_tie_by_half():
    scores = torch.tensor([[0.5, 0.5, 0.1], [0.5, 0.5, 0.9]])
    place, guess = _places(scores, torch.tensor([1, 0]))
    assert place.tolist() == [1.5, 2.5]
    assert guess.tolist() == [0, 2]


def test_weights_of_tokens_are_searched_on_other_rows(setup):
    make, rows = setup
    table = rows([*CENTRES] * 4)
    search = {"evaluation": "zero_shot_search", "tower": "toy/views", "search": ["weights"]}
    model, config = make(table[:14], train=table[14:], **search)
    (result,) = run_evaluations(model, config)
    assert result.numbers["thing/top1_before"] < 0.2
    assert result.numbers["thing/top1"] == 1.0
    first, second, third = result.info["weights"]
    assert first + third > 3 * second
    assert result.info["searched_rows"] == 14
    before, after = result.info["searched_top1"]
    assert before < 0.2
    assert after == 1.0
    model, config = make(table, holdout=0.5, **search)
    (held,) = run_evaluations(model, config)
    assert (held.info["searched_rows"], held.info["rows"]) == (14, 14)
    assert held.numbers["thing/top1"] == 1.0
    model, config = make(table, **search)
    with pytest.raises(UserError, match="no training dataset holds both"):
        run_evaluations(model, config)


def test_sentences_are_searched(setup, tmp_path):
    make, rows = setup
    words = list(CENTRES)
    prompts = {word: [f"not a {words[i - 1]}", word, f"no {words[i - 1]}"] for i, word in enumerate(words)}
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    table = rows(words * 4)
    search = {"evaluation": "zero_shot_search", "prompts": str(tmp_path / "prompts.json"), "search": ["prompts"]}
    model, config = make(table[:14], train=table[14:], passes=7, **search)
    (result,) = run_evaluations(model, config)
    assert result.numbers["thing/top1_before"] < 0.2
    assert result.numbers["thing/top1"] == 1.0
    assert set(result.info["prompts"].items()) <= {(word, word) for word in words}
    assert len(result.info["prompts"]) >= 6
