"""Datasets: which column feeds which stream, and which values are broken."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from anyclip.config.schema import SourceConfig
from anyclip.data import Source, StreamInfo
from anyclip.data.loading import open_sources
from anyclip.errors import BadSample, UserError
from anyclip.testing.faulty import FaultyProcessor

from .conftest import scenes, vectors, words


def reason(source: Source, row: int, stream: str = "x") -> str:
    with pytest.raises(BadSample) as caught:
        source.load(row, stream)
    return caught.value.reason


def test_fields_map_streams_and_views_share_a_column(table):
    rows = [{"caption": "ab", "title": "abc", "kind": 3}]
    config = table(rows, fields={"x": "caption", "x#2": "title"})
    source = Source(config, streams=words("x", "x#1", "x#2"), extra=["kind"])
    assert [source.value(0, s) for s in ("x", "x#1", "x#2")] == ["ab", "ab", "abc"]
    assert source.field(0, "kind") == 3
    assert (len(source), source.sample_id(0)) == (1, "train.jsonl:1")


def test_a_missing_column_names_those_found(table):
    config = table([{"captoin": "a", "file": "b"}], fields={"x": "caption"})
    with pytest.raises(UserError) as caught:
        Source(config, streams=words("x"), name="train")
    assert str(caught.value) == (
        "train: fields.x names the column 'caption', which is not there. Did you mean captoin? Found: captoin, file."
    )
    with pytest.raises(UserError) as caught:
        Source(table([{"file": "b"}]), streams=words("x", "file"), name="train")
    assert str(caught.value) == "train: no column for x. Found: file. Map it: `fields: {x: COLUMN}`."
    with pytest.raises(UserError, match=r"fields\.label names the column 'nowhere'"):  # though nobody asks for it
        Source(table([{"x": "b"}], fields={"label": "nowhere"}), streams=words("x"))


def test_a_mixture_takes_the_streams_that_each_dataset_brings(table):
    one = table([{"x": "a", "y": "b"}], "one.jsonl")
    two = table([{"x": "a", "z": "b"}], "two.jsonl")
    sources = open_sources([one, two, one], words("x", "y", "z"))
    assert [list(s.streams) for s in sources] == [["x", "y"], ["x", "z"], ["x", "y"]]
    assert len({s.name for s in sources}) == 3
    with pytest.raises(UserError, match=r"no dataset has a column for the stream w"):
        open_sources([one, two], words("x", "y", "z", "w"))
    with pytest.raises(UserError, match=r"no dataset has a column for the field label"):
        open_sources([one, two], words("x", "y", "z"), extra=["label"])
    typo = table([{"x": "a", "yy": "b"}], "typo.jsonl")
    with pytest.raises(UserError, match=r"typo.jsonl: brings x, and no column for y, z. Its columns: x, yy"):
        open_sources([one, two, typo], words("x", "y", "z"))
    typo.fields = {"x": "x"}  # said on purpose
    assert len(open_sources([one, two, typo], words("x", "y", "z"))) == 3
    with pytest.raises(UserError, match="no training data"):
        open_sources([], words("x"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", "an empty string"),
        ("  \n", "an empty string"),
        (7, "int 7 where a string belongs"),
        (True, "bool True where a string belongs"),
        (float("nan"), "NaN"),
        ([], "an empty list"),
        ({"a": 1}, "a dict where a string belongs"),
        (["", "b"], "alternative 1 of 2: an empty string"),
        ([None, "b"], "alternative 1 of 2: null"),
        ("refuse too loud", "too loud"),
    ],
)
def test_broken_values_have_a_reason(table, value, expected):
    source = Source(table([{"x": "good"}, {"x": value}]), streams=words("x"))
    assert reason(source, 1) == expected


def test_a_number_is_never_opened_as_a_path(table):
    source = Source(table([{"x": 7}, {"x": "a.bin"}]), streams={"x": StreamInfo(FaultyProcessor(), "file")})
    assert reason(source, 0) == "int 7 where a path, bytes or an array belongs"


def test_paths_are_located_and_named_and_captions_are_not(table, tmp_path):
    rows = [{"x": "raise os", "y": "raise os"}]
    streams = {"x": StreamInfo(FaultyProcessor(), "words"), "y": StreamInfo(FaultyProcessor(), "file")}
    source = Source(table(rows), streams=streams)
    assert source.value(0, "x") == "raise os"
    assert source.value(0, "y") == str(tmp_path / "raise os")


def test_the_path_of_a_part_of_a_file_is_located(table, tmp_path):
    part = {"path": "film.bin", "start": 1.5, "end": 4}
    source = Source(table([{"x": part}]), streams={"x": StreamInfo(FaultyProcessor(), "file")})
    assert source.value(0, "x") == {"path": str(tmp_path / "film.bin"), "start": 1.5, "end": 4}


def test_unforeseen_errors_keep_type_message_and_line(table):
    source = Source(table([{"x": "raise type"}, {"x": "raise os"}]), streams=words("x"))
    assert reason(source, 0).startswith("TypeError: as ordered (")
    assert "faulty.py:" in reason(source, 1)
    assert reason(source, 1).startswith("OSError: as ordered")


@pytest.mark.parametrize(("order", "error"), [("memory", MemoryError), ("interrupt", KeyboardInterrupt)])
def test_an_interrupt_and_want_of_memory_are_not_swallowed(table, order, error):
    source = Source(table([{"x": f"raise {order}"}]), streams=words("x"))
    with pytest.raises(error):
        source.load(0, "x")


def test_null_and_absent_are_missing_not_broken(table):
    source = Source(table([{"x": "a"}, {"x": None}, {"y": "b"}]), streams=words("x"))
    assert source.load(1, "x") is None
    assert source.load(2, "x") is None
    assert source.values(2, "x") == []


def test_one_alternative_is_drawn_when_training_the_first_otherwise(table):
    captions = ["a", "bb", "ccc"]
    source = Source(table([{"x": captions}]), streams=words("x"))
    assert source.value(0, "x") == "a"
    assert source.values(0, "x") == captions
    drawn = [source.value(0, "x", np.random.default_rng(seed)) for seed in range(60)]
    assert set(drawn) == set(captions)
    assert min(map(drawn.count, captions)) >= 8


def test_a_list_of_numbers_is_one_value(table):
    numbers = [float(i) for i in range(16)]
    source = Source(table([{"x": numbers}]), streams=vectors("x"))
    assert source.load(0, "x").tolist() == numbers


def test_a_damaged_row_is_broken_in_each_of_its_streams(table):
    config = table([{"x": "a", "y": "b"}] * 3)
    with open(config.options["path"], "a") as file:
        file.write('{"x": "a", \n')
    source = Source(config, streams=words("x", "y"))
    assert reason(source, 3, "x") == reason(source, 3, "y")
    assert "train.jsonl:4" in reason(source, 3)


def test_fields_are_numbers_strings_and_vectors(table):
    rows = [{"f": 3}, {"f": 0.5}, {"f": "cat"}, {"f": [1.0, 2.0]}, {"f": None}, {"f": [1.0, None]}, {"f": {"a": 1}}]
    source = Source(table(rows), streams={}, extra=["f"])
    assert source.field(0, "f").dtype == np.int64
    assert source.field(1, "f").dtype == np.float32
    assert source.field(2, "f") == "cat"
    assert source.field(3, "f").tolist() == [1.0, 2.0]
    assert source.field(4, "f") is None
    for row in (5, 6):
        with pytest.raises(BadSample, match="a number, a string or a vector of numbers"):
            source.field(row, "f")


def test_pickled_sources_read_the_same_and_fingerprints_tell_data_apart(table):
    source = Source(table([{"x": "a"}, {"x": "bb"}]), streams=words("x"))
    copy = pickle.loads(pickle.dumps(source))
    assert torch.equal(copy.load(1, "x"), source.load(1, "x"))
    assert copy.fingerprint() == source.fingerprint()
    other = Source(table([{"x": "a"}, {"x": "bbb"}], "other.jsonl"), streams=words("x"))
    assert other.fingerprint() != source.fingerprint()


def test_the_synthetic_reader_renders_any_stream():
    source = Source(scenes(), streams=vectors("a", "b"), extra=["shape"])
    assert source.load(0, "a").shape == (16,)
    assert isinstance(source.field(0, "shape"), str)
    assert sum(source.load(row, "b") is None for row in range(40)) in range(3, 22)


def test_an_unknown_reader_is_a_user_error():
    with pytest.raises(UserError, match="unknown reader"):
        Source(SourceConfig(name="manifesto"), streams=words("x"))


def test_threads_read_rows_of_their_own(table):
    source = Source(table([{"x": str(i), "y": str(i)} for i in range(400)]), streams=words("x", "y"))

    def both(row: int) -> tuple:
        return source.value(row, "x"), source.value(row, "y")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(both, range(400))) == [(str(i), str(i)) for i in range(400)]
