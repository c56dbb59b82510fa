"""From rows to batches: parts, missing and broken values, fields, and the share of each process."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from anyclip.data import Batch, StreamInfo, TrainData
from anyclip.data.assembling import local_range, number_of_parts
from anyclip.data.batch import BadValue
from anyclip.errors import UserError
from anyclip.processors import Processor

from .conftest import assert_same, data, scenes, vectors, words


def first(config, streams, **kwargs) -> Batch:
    with TrainData(config, streams, seed=kwargs.pop("seed", 0), **kwargs) as train:
        return next(train.batches())


def by_row(batches: list[Batch], stream: str) -> dict[int, torch.Tensor]:
    """Global row -> sample."""
    found = {}
    for batch in batches:
        for part in batch.parts:
            for i, row in enumerate(part.rows.get(stream, torch.empty(0)).tolist()):
                found[row] = part.inputs[stream][i]
    return found


def test_missing_values_are_left_out_of_inputs_and_rows(table):
    rows = [{"x": "a"}, {"x": None, "y": "bb"}, {"x": "ccc", "y": "dddd"}]
    batch = first(data(table(rows), batch_size=3), words("x", "y"))
    part = batch.parts[0]
    assert {s: len(part.rows[s]) for s in part.rows} == {"x": 2, "y": 2}
    assert sorted(part.inputs["x"][:, 0].tolist()) == [1, 3]
    assert sorted(part.inputs["y"][:, 0].tolist()) == [2, 4]
    assert all(part.rows[s].tolist() == sorted(part.rows[s].tolist()) for s in part.rows)
    assert (batch.bad, batch.tried, batch.size, batch.local) == ([], 4, 3, (0, 3))


def test_a_stream_that_no_row_has_is_absent(table):
    batch = first(data(table([{"x": "a", "y": None}] * 4), batch_size=4), words("x", "y"))
    assert batch.streams == ["x"]
    assert batch.rows("y").tolist() == []


def test_broken_values_are_named_and_counted(table):
    rows = [{"x": "a", "y": "b"}, {"x": "", "y": "b"}, {"x": "raise type", "y": "refuse no"}, {"x": "a", "y": None}]
    batch = first(data(table(rows), batch_size=4), words("x", "y"))
    assert len(batch.rows("x")) == 2
    assert len(batch.rows("y")) == 2
    assert batch.tried == 7
    found = {(b.sample, b.stream): b.reason for b in batch.bad}
    assert found.keys() == {("train.jsonl:2", "x"), ("train.jsonl:3", "x"), ("train.jsonl:3", "y")}
    assert found["train.jsonl:2", "x"] == "an empty string"
    assert found["train.jsonl:3", "y"] == "no"
    assert batch.bad[0].dataset.startswith("manifest ")
    assert isinstance(batch.bad[0], BadValue)


@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("micro_batch", [None, 1, 3])
def test_any_number_of_processes_and_parts_holds_the_same_global_rows(world, micro_batch):
    config, streams = data(scenes(30), batch_size=8), vectors("a", "b", "a#1")
    whole = first(config, streams, extra_fields=["size"])
    kwargs = {"world": world, "micro_batch": micro_batch, "extra_fields": ["size"]}
    shares = [first(config, streams, rank=rank, **kwargs) for rank in range(world)]
    assert len({len(batch.parts) for batch in shares}) == 1
    assert [batch.local[0] for batch in shares[1:]] == [batch.local[1] for batch in shares[:-1]]
    for stream in streams:
        rows = torch.cat([batch.rows(stream) for batch in shares])
        assert torch.equal(rows, whole.rows(stream))
        expected, found = by_row([whole], stream), by_row(shares, stream)
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[row], found[row]) for row in expected)
    rows = torch.cat([batch.fields["size"][0] for batch in shares if "size" in batch.fields])
    assert torch.equal(rows, whole.fields["size"][0])
    assert sum(batch.tried for batch in shares) == whole.tried


def test_parts_hold_consecutive_rows_and_are_as_many_everywhere():
    batches = [first(data(scenes(30), batch_size=7), vectors("a"), rank=r, world=2, micro_batch=3) for r in (0, 1)]
    rows = [[part.rows["a"].tolist() if "a" in part.rows else [] for part in batch.parts] for batch in batches]
    assert rows == [[[0, 1, 2], []], [[3, 4, 5], [6]]]
    assert [batch.local for batch in batches] == [(0, 3), (3, 7)]


def test_more_processes_than_rows():
    ranges = [local_range(2, rank, 3) for rank in range(3)]
    assert [stop - start for start, stop in ranges] == [0, 1, 1]
    batch = first(data(scenes(), batch_size=2), vectors("a"), world=3, micro_batch=1)
    assert (len(batch.parts), batch.parts[0].rows, batch.streams) == (1, {}, [])


@pytest.mark.parametrize("size", range(1, 20))
@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize("micro", [1, 2, 5, None])
def test_parts_are_enough_for_the_fullest_process(size, world, micro):
    most = max(stop - start for start, stop in (local_range(size, r, world) for r in range(world)))
    assert number_of_parts(size, world, micro) == (1 if micro is None else -(-most // micro))


def test_augmentation_differs_by_pass_stream_and_seed_only():
    config, streams = data(scenes(8, missing=0.0), batch_size=8), vectors("a", "a#1")
    with TrainData(config, streams, seed=0) as train:
        batches = [batch for _, batch in zip(range(2), train.batches())]
    with TrainData(config, streams, seed=0) as train:
        assert_same(batches[1], next(train.batches(1)))
    plain = StreamInfo(vectors("a", noise=0.0)["a"].processor, "toy")
    clean = first(config, {"a": plain, "a#1": plain})
    assert torch.equal(clean.parts[0].inputs["a"], clean.parts[0].inputs["a#1"])
    noise = [batches[0].parts[0].inputs[s] - clean.parts[0].inputs["a"] for s in ("a", "a#1")]
    assert not torch.equal(noise[0], noise[1])
    assert not torch.equal(*(b.parts[0].inputs["a"].sort(0).values for b in batches))
    other = first(config, streams, seed=1)
    assert not torch.equal(other.parts[0].inputs["a"].sort(0).values, batches[0].parts[0].inputs["a"].sort(0).values)


def test_fields_have_rows_of_their_own(table):
    rows = [
        {"x": "a", "label": 3, "teacher": [1.0, 2.0], "name": "cat", "mixed": 1},
        {"x": "bb", "label": None, "teacher": [3.0, 4.0, 5.0], "name": "dog", "mixed": 0.5},
        {"x": "ccc", "label": 5, "teacher": [6.0, 7.0], "name": "emu", "mixed": 2},
        {"x": "dddd", "label": 7, "teacher": [8.0, 9.0], "name": 4, "mixed": 3},
    ]
    names = ["label", "teacher", "name", "mixed"]
    batch = first(data(table(rows), batch_size=4), words("x"), extra_fields=names)
    order = [int(length) - 1 for length in batch.parts[0].inputs["x"][:, 0]]  # global row -> row of the table
    numbers, labels = batch.fields["label"]
    assert labels.dtype == torch.int64
    assert [(order[n], v) for n, v in zip(numbers.tolist(), labels.tolist())] == [
        (i, rows[i]["label"]) for i in order if i != 1
    ]
    numbers, teacher = batch.fields["teacher"]
    assert teacher.dtype == torch.float32
    assert [order[n] for n in numbers] == [i for i in order if i != 1]
    assert torch.equal(teacher, torch.tensor([rows[i]["teacher"] for i in order if i != 1]))
    numbers, called = batch.fields["name"]
    assert called == [rows[order[n]]["name"] for n in numbers]
    assert batch.fields["mixed"][1].dtype == torch.float32
    assert {(b.sample, b.stream): b.reason for b in batch.bad} == {
        ("train.jsonl:2", "teacher"): "has shape [3], others [2]",
        ("train.jsonl:4", "name"): "has shape [], others a string",
    }
    assert batch.tried == 4 + 3 + 4 + 4 + 4


def test_a_processor_that_cannot_collate_is_named(table):
    config = data(table([{"x": "a"}, {"x": "shape 3"}]), batch_size=2)
    with pytest.raises(UserError, match=r"stream x: FaultyProcessor could not collate 2 samples: RuntimeError: stack"):
        first(config, words("x"))


class FileExists(Processor):
    """Stands in for a decoder: reads the first bytes."""

    def load(self, value, *, rng=None):
        with open(value, "rb") as file:
            return torch.tensor(len(file.read(4)))

    def collate(self, samples):
        return torch.stack(samples)

    def placeholder(self):
        return torch.tensor(0)


@pytest.mark.parametrize(
    ("file", "good", "bad"),
    [
        ("good.jsonl", {"audio": 2, "text": 2}, {}),
        ("missing_file.jsonl", {"audio": 2, "text": 3}, {("missing_file.jsonl:3", "audio"): "nowhere.wav"}),
        ("empty_caption.jsonl", {"audio": 3, "text": 2}, {("empty_caption.jsonl:3", "text"): "an empty string"}),
        ("long_caption.jsonl", {"audio": 3, "text": 3}, {}),
        ("bom_crlf.csv", {"audio": 1, "text": 1}, {}),
        (
            "broken_json_line2.jsonl",
            {"audio": 1, "text": 1},
            {("broken_json_line2.jsonl:2", s): "broken_json_line2.jsonl:2" for s in ("audio", "text")},
        ),
        ("wrong_types.jsonl", {"text": 2}, {("wrong_types.jsonl:1", "audio"): "int 7"}),
    ],
)
def test_shared_broken_manifests(broken, file, good, bad):
    from anyclip.config.schema import SourceConfig

    streams = {"audio": StreamInfo(FileExists(), "file"), "text": words("text")["text"]}
    config = SourceConfig(name="manifest", options={"path": str(broken / "manifest" / file)})
    with TrainData(data(config, batch_size=1), streams, seed=0) as train:
        batches = [batch for _, batch in zip(range(int(train.steps_per_epoch)), train.batches())]
    counts = {s: n for s in streams if (n := sum(len(batch.rows(s)) for batch in batches))}
    assert counts == good
    found = {(b.sample, b.stream): b.reason for batch in batches for b in batch.bad}
    assert found.keys() == bad.keys()
    assert all(reason in found[key] for key, reason in bad.items())


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("missing_column.csv", r"no column for text. Found: audio"),
        ("empty.jsonl", "is empty"),
        ("bad_utf8.jsonl", "no usable row"),
    ],
)
def test_shared_manifests_that_are_refused(broken, file, message):
    from anyclip.config.schema import SourceConfig

    streams = {"audio": StreamInfo(FileExists(), "file"), "text": words("text")["text"]}
    config = SourceConfig(name="manifest", options={"path": str(broken / "manifest" / file)})
    with pytest.raises(UserError, match=message):
        TrainData(data(config, batch_size=1), streams, seed=0)


def test_the_rows_of_an_epoch_are_those_of_the_sampler():
    with TrainData(data(scenes(30), batch_size=8), vectors("a", "b"), seed=0) as train:
        assert train.sizes == {"synthetic": 30}
        assert train.dropped == {"synthetic": 6}
        assert train.steps_per_epoch == 3.0
        assert train.passes(6) == {"synthetic": 2.0}
        rows = np.concatenate([train.sampler.batch(step)[:, 2] for step in range(3)])
        assert len(set(rows.tolist())) == 24
