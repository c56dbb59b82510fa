"""The synthetic reader: reproducible, disjoint splits, missing values, renderer options."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from anyclip.errors import DataError
from anyclip.readers import create_reader
from anyclip.readers.drawing import SceneDraw
from anyclip.readers.options import SyntheticOptions, SyntheticStream
from anyclip.readers.scenes import COLOURS, COUPLED, DEFAULT_FACTORS, FACTORS, Scene
from anyclip.readers.synthetic import SyntheticReader


def reader(**options) -> SyntheticReader:
    return SyntheticReader(SyntheticOptions(**options))


def key(scene: Scene) -> tuple:
    return tuple(sorted(scene.factors.items()))


def test_default_factors_give_500_held_out_scenes_that_train_never_shows():
    train, val = reader(size=8000), reader(size=600, split="val", seed=9)
    assert train.draw.count >= 5000
    seen = {key(train.scene(i)) for i in range(len(train))}
    held_out = [key(val.scene(i)) for i in range(500)]
    assert len(set(held_out)) == 500
    assert not seen & set(held_out)


def test_every_factor_value_is_in_train():
    train = reader(size=2000)
    for factor in DEFAULT_FACTORS:
        assert {train.scene(i).factors[factor] for i in range(2000)} == set(FACTORS[factor])


def test_rows_are_a_function_of_seed_and_row():
    a, b, other = reader(seed=1), reader(seed=1), reader(seed=2)
    assert [key(a.scene(i)) for i in (5, 0, 3)] == [key(b.scene(i)) for i in (5, 0, 3)]
    assert [key(a.scene(i)) for i in range(20)] != [key(other.scene(i)) for i in range(20)]
    assert np.array_equal(
        a.value(4, "toy", modality="toy"), pickle.loads(pickle.dumps(a)).value(4, "toy", modality="toy")
    )


def test_too_many_combinations_are_drawn_and_stay_disjoint():
    train = SceneDraw(list(FACTORS), seed=0, split="train", couple=False)
    val = SceneDraw(list(FACTORS), seed=0, split="val", couple=False)
    assert train.distinct is None
    for draw, other in ((train, val), (val, train)):
        numbers = np.array([draw.scene(i).number for i in range(50)], dtype=np.uint64)
        assert draw._in_split(numbers).all()
        assert not other._in_split(numbers).any()


def test_what_is_heard_follows_what_is_seen_only_when_coupled():
    factors = ["shape", "timbre", "colour", "contour"]
    tied, free = SceneDraw(factors, seed=0, split="all"), SceneDraw(factors, seed=0, split="all", couple=False)
    assert len({(tied.scene(i).factors["shape"], tied.scene(i).factors["timbre"]) for i in range(500)}) == 8
    assert len({(free.scene(i).factors["shape"], free.scene(i).factors["timbre"]) for i in range(500)}) > 50
    assert tied.count == 8 * 8 * 3
    assert free.count == 8 * 8 * 8 * 3


def test_coupled_factors_have_as_many_values():
    assert all(len(FACTORS[heard]) == len(FACTORS[seen]) for heard, seen in COUPLED.items())


def test_combination_numbers_are_a_bijection():
    draw = SceneDraw(["shape", "size", "motion"], seed=0, split="all")
    assert len({key(draw.combination(i)) for i in range(draw.count)}) == draw.count == 8 * 3 * 9


def test_descriptions_mention_every_factor_and_differ():
    draw = SceneDraw(list(FACTORS), seed=0, split="all", couple=False)
    for row in range(50):
        scene = draw.scene(row)
        assert all(value in scene.describe() for value in scene.factors.values())
    for factors in (
        ["pitch", "timbre", "contour"],
        ["motion", "then"],
        ["colour", "background"],
        list(DEFAULT_FACTORS),
    ):
        draw = SceneDraw(factors, seed=0, split="all")
        assert len({draw.combination(i).describe() for i in range(draw.count)}) == draw.count


def test_wording():
    scene = Scene({"shape": "star", "size": "large", "position": "top left", "motion": "growing", "timbre": "organ"})
    assert scene.describe() == "a large star at the top left, growing, with an organ tone"
    assert Scene({"shape": "ring", "colour": "orange", "background": "grey"}).describe() == (
        "an orange ring on a grey background"
    )


def test_backgrounds_are_no_object_colours():
    assert set(FACTORS["colour"]).isdisjoint(FACTORS["background"])
    assert set(FACTORS["colour"]) | set(FACTORS["background"]) == set(COLOURS)


def test_missing_values_and_renderer_options_are_per_stream():
    made = reader(size=400, streams={"a": SyntheticStream(missing=0.3, options={"size": 5})})
    values = [made.value(i, "a", modality="toy") for i in range(400)]
    assert 0.2 < sum(v is None for v in values) / 400 < 0.4
    assert {v.shape for v in values if v is not None} == {(5,)}
    assert all(made.value(i, "b", modality="toy").shape == (16,) for i in range(20))


def test_a_stream_without_any_value_is_no_column():
    made = reader(streams={"a": SyntheticStream(missing=1.0), "b": SyntheticStream(missing=0.9)})
    assert [made.find(name, modality="toy") for name in "abc"] == [None, "b", "c"]
    assert made.find("colour") == "colour"


def test_factors_are_columns():
    made = reader()
    assert made.columns() == list(DEFAULT_FACTORS)
    assert made.value(3, "shape") == made[3]["shape"] in FACTORS["shape"]
    with pytest.raises(DataError, match="Did you mean colour"):
        made.value(0, "color")


def test_mistakes_are_named():
    with pytest.raises(DataError, match=r"unknown factor 'shap'. Did you mean shape\?"):
        reader(factors=["shap"])
    with pytest.raises(DataError, match="none of them is in the split 'val'"):
        reader(factors=["size"], split="val")
    with pytest.raises(IndexError):
        reader(size=3)[3]


def test_fingerprint_and_ids():
    assert reader().fingerprint() == reader().fingerprint() != reader(seed=1).fingerprint()
    assert reader(split="val").sample_id(7) == "synthetic-val-0/7"


def test_created_by_name():
    made = create_reader("synthetic", {"size": 3, "streams": {"a": {"missing": 1.0}}})
    assert len(made) == 3
    assert made.value(0, "a", modality="toy") is None
