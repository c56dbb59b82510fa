"""Pairs of clips and texts that overlap in time, and batches of near ones in a run."""

from __future__ import annotations

import json
from typing import ClassVar

import numpy as np
import pytest
from anyclip_video import layouts_examples as examples
from anyclip_video.decode import decode
from anyclip_video.features_processor import read_features

from anyclip.errors import BadSample, DataError
from anyclip.readers import create_reader
from anyclip.testing import ReaderContract

from .test_runs import TEXT, losses


class TestOverlappingClips(ReaderContract):
    cases: ClassVar = {"overlapping_clips": ("overlapping_clips", {})}


def film(folder, captions=40, words=5, seconds=4.0):
    """One long video without a file: captions back to back, each with words that name its number."""
    starts = [seconds * k for k in range(captions)]
    row = {
        "video": "film.mp4",
        "start": starts,
        "end": [s + seconds for s in starts],
        "text": [" ".join(f"w{k}" for _ in range(words)) for k in range(captions)],
        "duration": seconds * captions,
    }
    (folder / "film.jsonl").write_text(json.dumps(row) + "\n")
    return str(folder / "film.jsonl")


def spans(reader, seconds=4.0):
    """(seconds of the text, seconds of the clip, words) of every row."""
    for row in range(len(reader)):
        values = reader[row]
        numbers = [int(word[1:]) for word in values["text"].split()]
        part = values["video"]
        yield (seconds * min(numbers), seconds * (max(numbers) + 1)), (part["start"], part["end"]), len(numbers)


def test_clip_and_text_overlap_and_are_not_aligned(tmp_path):
    reader = create_reader("overlapping_clips", {"path": film(tmp_path), "clips": 400})
    found = list(spans(reader))
    assert len(found) == 400
    for (a, b), (start, end), words in found:
        assert 0 <= start < end <= 160
        assert start < b + 4  # a text that was cut ends before its last caption
        assert end > a
        assert 8 <= words <= 64
        assert end - start <= 32.001
    lengths = np.array([end - start for _, (start, end), _ in found])
    inner = lengths[[s > 0 and e < 160 for _, (s, e), _ in found]]
    assert inner.min() < 5
    assert inner.max() > 30
    assert inner.mean() == pytest.approx(17.5, abs=2)
    assert len({words for *_, words in found}) > 45
    assert np.mean([a == start or b == end for (a, b), (start, end), _ in found]) < 0.1
    before, after = (np.mean([s < a for (a, _), (s, _), _ in found]), np.mean([e > b for (_, b), (_, e), _ in found]))
    assert 0.1 < before < 0.9
    assert 0.1 < after < 0.9


def test_aligned_pairs_have_the_times_of_their_text(tmp_path):
    reader = create_reader("overlapping_clips", {"path": film(tmp_path, words=4), "clips": 50, "overlap": False})
    for (a, b), (start, end), words in spans(reader):
        assert start == a
        assert end == b, words


def test_rows_repeat_and_differ_by_clip_and_seed(tmp_path):
    options = {"path": film(tmp_path), "clips": 20}
    one, same, other = (create_reader("overlapping_clips", {**options, "seed": seed}) for seed in (0, 0, 1))
    assert [one[i] for i in range(20)] == [same[i] for i in range(20)]
    assert len({json.dumps(one[i]) for i in range(20)}) == 20
    assert one[0] != other[0]
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()
    assert one.sample_id(3) == "film.jsonl:1#3"


def test_the_last_captions_take_words_from_before(tmp_path):
    reader = create_reader("overlapping_clips", {"path": film(tmp_path, captions=3, words=4), "clips": 60})
    assert all(8 <= len(reader[i]["text"].split()) <= 12 for i in range(60))
    short = create_reader("overlapping_clips", {"path": film(tmp_path, captions=1, words=4), "clips": 3})
    assert short[0]["text"] == "w0 w0 w0 w0"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"end": [1]}, "start, end and text are lists of the same length"),
        ({"start": ["a"] * 3}, "start and end are numbers of seconds"),
        ({"end": [0, 1, 2]}, "a caption ends before it starts"),
        ({"text": ["a", 1, "c"]}, "text holds what is no text"),
        ({"video": None}, "has no video"),
    ],
)
def test_rows_that_do_not_fit(tmp_path, change, reason):
    options = examples.overlapping_clips(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "films.jsonl").read_text().splitlines()]
    rows[1].update(change)
    (tmp_path / "films.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    reader = create_reader("overlapping_clips", options)
    assert reader[0]["text"]
    with pytest.raises(BadSample, match=f"films.jsonl:2: {reason}"):
        reader[8]


def test_a_table_without_the_columns_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"video": "a.mp4", "text": "a"}\n')
    with pytest.raises(DataError, match=r"has no column start, end\.(.|\n)*There: video, text"):
        create_reader("overlapping_clips", {"path": str(tmp_path / "a.jsonl")})


def test_parts_are_decoded_from_files_and_from_features(tmp_path):
    reader = create_reader("overlapping_clips", examples.overlapping_clips(tmp_path))
    part = reader[0]["video"]
    frames = decode({**part, "path": reader.locate(part["path"])})
    assert len(frames) == pytest.approx(4 * (part["end"] - part["start"]), abs=2)
    vectors = np.arange(20.0).reshape(10, 2)
    np.save(tmp_path / "a.npy", vectors)
    found, _ = read_features({"path": str(tmp_path / "a.npy"), "start": 2.5, "end": 5.0})
    np.testing.assert_array_equal(found, vectors[2:5])
    doubled, _ = read_features({"path": str(tmp_path / "a.npy"), "start": 2.5, "end": 2.6, "rate": 2})
    np.testing.assert_array_equal(doubled, vectors[5:6])
    with pytest.raises(BadSample, match=r"a\.npy: the part from 12 s on is not in it: it has 10 vectors"):
        read_features({"path": str(tmp_path / "a.npy"), "start": 12})


def test_retrieval_augmented_training_runs(tmp_path):
    """Six films of eight clips; each batch holds two clips of three films, from the second pass on of near ones."""
    from anyclip.cli import main

    rng = np.random.default_rng(0)
    rows = []
    for i in range(6):
        np.save(tmp_path / f"{i}.npy", rng.normal(i % 2, 0.1, (30, 12)).astype(np.float32))
        texts = [f"film {i % 2} part {k} and so on for a while" for k in range(6)]
        starts = [5 * k for k in range(6)]
        rows.append({"video": f"{i}.npy", "start": starts, "end": [s + 5 for s in starts], "text": texts})
    (tmp_path / "films.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tower = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 8}
    features = {"dim": 12, "length": 8, "model": {**tower, "intermediate_size": 16}, "cls_id": 0, "sep_id": 1}
    config = {
        "model": {"dim": 8, "towers": {"video": {"name": "video/features", "options": features}, "text": TEXT}},
        "objectives": [{"pair": ["video", "text"]}],
        "data": {
            "train": [{"name": "overlapping_clips", "options": {"path": str(tmp_path / "films.jsonl"), "clips": 8}}],
            "batch_size": 6, "workers": 0,
            "sampler": {"name": "clusters", "options": {"group": 8, "take": 2, "lag": 1, "pool": 1.0}},
        },
        "train": {"steps": 12, "threads": 1, "out": str(tmp_path / "run"), "log_every": 1},
    }  # fmt: skip
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(config))
    assert main.run(["train", str(path), "--quiet"]) == 0
    assert len(losses(tmp_path / "run")) == 12
    assert all(np.isfinite(record["loss"]) for record in losses(tmp_path / "run"))
