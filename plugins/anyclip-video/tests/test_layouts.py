"""Readers of published folders, on small imitations of them: rows, splits, captions, parts, what is absent."""

from __future__ import annotations

import json
import logging
import pickle
from typing import ClassVar

import numpy as np
import pytest
from anyclip_video import layouts_examples as examples
from anyclip_video.decode import decode

from anyclip.errors import BadSample, DataError
from anyclip.readers import create_reader
from anyclip.testing import ReaderContract

NAMES = ("msrvtt", "msvd", "didemo", "activitynet", "lsmdc")


class TestLayouts(ReaderContract):
    cases: ClassVar = {name: (name, {}) for name in NAMES}


def reader(name, folder, **options):
    return create_reader(name, {**getattr(examples, name)(folder), **options})


def texts(found) -> list:
    return [found[row]["text"] for row in range(len(found))]


@pytest.mark.parametrize("name", NAMES)
def test_every_row_has_a_video_and_a_text(name, tmp_path):
    found = reader(name, tmp_path)
    for row in range(len(found)):
        values = found[row]
        assert decode(found.locate(values["video"])).shape[1:] == (32, 32, 3)
        assert values["text"]
        assert set(values) == set(found.columns()) == {"video", "text"}


def test_the_splits_of_msrvtt(tmp_path):
    train = reader("msrvtt", tmp_path)
    assert [train.sample_id(row) for row in range(len(train))] == ["video0", "video1", "video2", "video3"]
    assert train[1] == {"video": "videos/all/video1.mp4", "text": [f"clip 1, said {k}" for k in range(3)]}
    test = reader("msrvtt", tmp_path, split="test_1k_a")
    assert [test[row] for row in range(len(test))] == [{"video": "videos/all/video4.mp4", "text": "a clip, tested"}]
    assert [len(reader("msrvtt", tmp_path, split=split)) for split in ("train_7k", "train", "validate", "test")] == [
        2,
        3,
        1,
        1,
    ]
    rows = reader("msrvtt", tmp_path, captions="rows")
    assert len(rows) == 12
    assert (rows.sample_id(4), rows[4]["text"]) == ("video1#1", "clip 1, said 1")
    assert len({train.fingerprint(), test.fingerprint(), rows.fingerprint()}) == 3


def test_the_official_files_of_msrvtt(tmp_path):
    examples.msrvtt(tmp_path)
    root = tmp_path / "MSRVTT"
    whole = json.loads((root / "MSRVTT_data.json").read_text())
    (root / "MSRVTT_data.json").unlink()
    for name, wanted in (("train_val", ("train", "validate")), ("test", ("test",))):
        videos = [video for video in whole["videos"] if video["split"] in wanted]
        ids = {video["video_id"] for video in videos}
        sentences = [sentence for sentence in whole["sentences"] if sentence["video_id"] in ids]
        examples.write(root / f"{name}_videodatainfo.json", {"videos": videos, "sentences": sentences})
    sizes = [
        len(create_reader("msrvtt", {"path": str(root), "split": s})) for s in ("train_9k", "train", "validate", "test")
    ]
    assert sizes == [4, 3, 1, 1]


@pytest.mark.parametrize("pickled", [False, True])
def test_the_captions_of_msvd(tmp_path, pickled):
    found = create_reader("msvd", {**examples.msvd(tmp_path, pickled), "split": "val"})
    assert [found[row] for row in range(len(found))] == [
        {"video": "YouTubeClips/-4wsuPCjDBc_5_15.avi", "text": ["a bird bathes 1", "a faucet"]}
    ]


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    options = examples.msvd(tmp_path, pickled=True)
    (tmp_path / "MSVD" / "raw-captions.pkl").write_bytes(pickle.dumps({"a": np.zeros(2)}))
    with pytest.raises(DataError, match="is not a plain pickle of captions: it asks for numpy"):
        create_reader("msvd", options)


def test_paragraphs_and_moments_of_didemo(tmp_path):
    found = reader("didemo", tmp_path)
    assert texts(found) == ["the dog runs the dog turns round", "a cat sleeps"]
    assert found[0]["video"] == "videos/12090392@N02_13482799053_87ef417396.mp4"
    moments = reader("didemo", tmp_path, text="sentences")
    assert [(m["video"]["start"], m["video"]["end"]) for m in map(moments.__getitem__, range(3))] == [
        (0, 5),
        (5, 10),
        (0, 10),
    ]
    assert moments.sample_id(1).endswith(".mov#11")


def test_paragraphs_and_sentences_of_activitynet(tmp_path):
    found = reader("activitynet", tmp_path, split="val_1")
    assert texts(found) == ["A woman walks in. She sits down.", "A man rows."]
    assert found[1]["video"] == "videos/bXdq2zI1Ms0.mkv"
    sentences = reader("activitynet", tmp_path, text="sentences")
    assert len(sentences) == 3
    assert sentences[1] == {
        "video": {"path": "videos/v_uqiMw7tQ1Cc.mp4", "start": 1.0, "end": 3.9}, "text": "She sits down.",
    }  # fmt: skip
    part = {**sentences[1]["video"], "path": sentences.locate(sentences[1]["video"]["path"])}
    assert len(decode(part)) == 12  # frames 4 to 15 of four a second


def test_the_clips_of_lsmdc(tmp_path):
    options = examples.lsmdc(tmp_path)
    table = tmp_path / "LSMDC" / "LSMDC16_annos_training.csv"
    table.write_text(table.read_text() + "cut off\n\n")
    found = create_reader("lsmdc", options)
    assert len(found) == 4
    assert found[2] == {
        "video": "videos/1010_TITANIC/1010_TITANIC_00.41.32.072-00.41.40.196.avi", "text": "SOMEONE looks, 2.",
    }  # fmt: skip
    with pytest.raises(BadSample, match=r"LSMDC16_annos_training.csv:4: has 1 cells, wanted 6 between tabs"):
        found[3]


def test_what_is_not_there_is_named(tmp_path, caplog):
    options = examples.msrvtt(tmp_path)
    root = tmp_path / "MSRVTT"
    (root / "videos" / "all" / "video2.mp4").unlink()
    with caplog.at_level(logging.WARNING):
        assert len(create_reader("msrvtt", options)) == 4
    assert "1 of 4 videos of MSRVTT_train.9k.csv are not there and are kept and counted as broken" in caplog.text
    assert len(create_reader("msrvtt", {**options, "absent": "leave_out"})) == 3
    with pytest.raises(DataError, match="no folder of videos: wanted nowhere"):
        create_reader("msrvtt", {**options, "videos": "nowhere"})
    (root / "empty").mkdir()
    with pytest.raises(DataError, match=r"none of the 4 videos of MSRVTT_train\.9k\.csv is there; the first: video0"):
        create_reader("msrvtt", {**options, "videos": "empty"})
    examples.write(root / "MSRVTT_data.json", {"videos": []})
    with pytest.raises(DataError, match=r"an annotation has no 'sentences'\.(.|\n)*It has: videos"):
        create_reader("msrvtt", options)
    (root / "MSRVTT_data.json").write_text('{"videos": [\n}')
    with pytest.raises(DataError, match=r"MSRVTT_data.json:2: is not JSON"):
        create_reader("msrvtt", options)
    (root / "MSRVTT_train.9k.csv").unlink()
    with pytest.raises(DataError, match=r"MSRVTT_train.9k.csv: table not found"):
        create_reader("msrvtt", options)


def test_a_video_without_captions_is_a_broken_row(tmp_path):
    options = examples.msrvtt(tmp_path)
    (tmp_path / "MSRVTT" / "MSRVTT_train.7k.csv").write_text("video_id\nvideo0\nvideo77\n")
    found = create_reader("msrvtt", {**options, "split": "train_7k"})
    with pytest.raises(BadSample, match="video77: has no caption"):
        found[1]
