"""Readers of published folders, on small imitations of them: rows, folds, what is absent, zero-shot and retrieval."""

from __future__ import annotations

import logging
from typing import ClassVar

import pytest
import torch
from anyclip_audio import layouts_examples as examples
from anyclip_audio.decode import decode
from anyclip_audio.plugin import PROMPTS

from anyclip.config import config_from_dict
from anyclip.errors import BadSample, DataError, UserError
from anyclip.evaluation import run_evaluations
from anyclip.inference import embed_values
from anyclip.model import build_model
from anyclip.readers import create_reader
from anyclip.testing import ReaderContract

from .cases import CASES

NAMES = ("esc50", "urbansound8k", "audiocaps", "clotho")


class TestLayouts(ReaderContract):
    cases: ClassVar = {name: (name, {}) for name in NAMES}


def reader(name, folder, **options):
    return create_reader(name, {**getattr(examples, name)(folder), **options})


@pytest.mark.parametrize("name", NAMES)
def test_every_row_has_a_sound_and_a_text(name, tmp_path):
    found = reader(name, tmp_path)
    for row in range(len(found)):
        values = found[row]
        assert decode(found.locate(values["audio"])).rate == examples.RATE
        assert values["text"]
        assert set(values) == set(found.columns())


def test_classes_and_folds(tmp_path):
    found = reader("esc50", tmp_path, folds=[2, 5])
    assert [found[i]["fold"] for i in range(len(found))] == [2, 2, 5, 5]
    assert found[1] == {
        "audio": "audio/2-1002-A-1.wav", "label": "chirping_birds", "text": "this is a sound of chirping birds.",
        "target": 1, "fold": 2,
    }  # fmt: skip
    assert found.sample_id(1) == "2-1002-A-1.wav"
    ten = reader("esc50", tmp_path, where='esc10 == "True"', caption="{}")
    assert {ten[i]["text"] for i in range(len(ten))} == {"dog"}
    assert len(ten) == 5
    urban = reader("urbansound8k", tmp_path, folds=[10])
    assert [urban[i]["audio"] for i in range(2)] == ["audio/fold10/110-1-0-0.wav", "audio/fold10/110-3-0-0.wav"]
    assert [(urban[i]["label"], urban[i]["target"]) for i in range(2)] == [("car_horn", 1), ("dog_bark", 3)]
    assert found.fingerprint() != ten.fingerprint()


def test_names_of_fetched_sounds(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        train = reader("audiocaps", tmp_path)
    stems = [train[i]["audio"].removeprefix("train/").removesuffix(".wav") for i in range(5)]
    ids = [train[i]["youtube_id"] for i in range(5)]
    assert stems == [ids[0], f"Y{ids[1]}", f"{ids[2]}_30", f"{ids[3]}_30000_40000", f"Y{ids[4]}_30.000_40.000"]
    assert len(train) == 5
    assert "1 of 6 sounds of train.csv are not there and are left out; the first: train/-5aB_cD5fGh.wav" in caplog.text
    kept = reader("audiocaps", tmp_path, absent="keep")
    assert len(kept) == 6
    test = reader("audiocaps", tmp_path, split="test", audio="test")
    assert len(test) == 5  # named by audiocap_id
    assert test[1]["text"] == ["a tone, number 1, said 0", "a tone, number 1, said 1"]


def test_five_captions(tmp_path):
    found = reader("clotho", tmp_path, split="evaluation")
    assert len(found) == 3
    assert found[0]["audio"] == "evaluation/Rain on glass.wav"  # the table has a space before it
    assert found[2]["text"] == [f"a tone of evaluation, 2, said {k}" for k in range(5)]


def test_what_is_wrong_with_a_folder_is_named(tmp_path, caplog):
    with pytest.raises(DataError, match=r"folds: 7 is not in esc50.csv\.(.|\n)*There: 1, 2, 3, 4, 5"):
        reader("esc50", tmp_path, folds=[1, 7])
    root = tmp_path / "ESC-50-master"
    (root / "audio" / "1-1001-A-0.wav").unlink()
    with caplog.at_level(logging.WARNING):
        found = create_reader("esc50", {"path": str(root)})
    assert len(found) == 10
    assert "1 of 10 sounds of esc50.csv are not there and are kept and counted as broken" in caplog.text
    assert len(create_reader("esc50", {"path": str(root), "absent": "leave_out"})) == 9
    for file in (root / "audio").iterdir():
        file.unlink()
    with pytest.raises(DataError, match=r"none of the 10 sounds of esc50.csv is there; the first: audio/1-1001-A-0"):
        create_reader("esc50", {"path": str(root)})
    (root / "meta" / "esc50.csv").write_text("filename,category\na.wav,dog\n")
    with pytest.raises(DataError, match=r"has no column target, fold\.(.|\n)*There: filename, category"):
        create_reader("esc50", {"path": str(root)})
    (root / "meta" / "esc50.csv").unlink()
    with pytest.raises(DataError, match=r"esc50\.csv: table not found"):
        create_reader("esc50", {"path": str(root)})
    with pytest.raises(DataError, match="no folder of sounds: wanted there"):
        reader("clotho", tmp_path, audio="there")
    with pytest.raises(UserError, match="caption holds"):
        reader("esc50", tmp_path, caption="a dog")


def test_a_damaged_line_is_a_broken_row(tmp_path):
    options = examples.urbansound8k(tmp_path)
    table = tmp_path / "UrbanSound8K" / "metadata" / "UrbanSound8K.csv"
    lines = table.read_text().splitlines()
    lines[3] = "only,three,cells"
    lines[4] = lines[4].replace("dog_bark", "")
    table.write_text("\n".join(lines) + "\n")
    found = create_reader("urbansound8k", options)
    assert len(found) == 20
    problems = []
    for row in range(20):
        try:
            found[row]
        except BadSample as error:
            problems.append(error.reason)
    assert problems == [
        "UrbanSound8K.csv:4: has 3 cells, the header names 8 columns", "UrbanSound8K.csv:5: class is empty",
    ]  # fmt: skip


def evaluated(source, evaluation):
    """(model, result) of tiny towers of sounds and texts with random weights over a dataset."""
    name, options = CASES["pann"]
    text = {"embed_dim": 16, "text_cfg": {"context_length": 48, "width": 16, "heads": 2, "layers": 1}}
    towers = {
        "audio": {"name": name, "options": options},
        "text": {"name": "text/open_clip", "options": {"model": text, "tokenizer": "bytes"}},
    }
    config = config_from_dict(
        {
            "model": {"dim": 16, "towers": towers},
            "objectives": [{"pair": ["audio", "text"]}],
            "data": {"train": [source], "val": [source], "workers": 0},
            "train": {"steps": 1},
            "eval": [{"name": evaluation}],
        }
    )
    model = build_model(config.model)
    (result,) = run_evaluations(model, config)
    return model, result


def test_class_prompts_over_a_fold(tmp_path):
    options = {**examples.urbansound8k(tmp_path), "folds": [1, 4, 6, 10]}
    model, result = evaluated({"name": "urbansound8k", "options": options}, "zero_shot")
    assert (result.info["classes"], result.info["rows"]) == (2, 8)
    found = create_reader("urbansound8k", options)
    sounds = embed_values(model, "audio", [found.locate(found[i]["audio"]) for i in range(8)]).vectors
    classes = ("car horn", "dog bark")
    prompts = [embed_values(model, "text", [p.format(name) for p in PROMPTS]).vectors.mean(0) for name in classes]
    guesses = (sounds @ torch.nn.functional.normalize(torch.stack(prompts), dim=-1).T).argmax(1)
    truth = torch.tensor([found[i]["target"] == 3 for i in range(8)]).long()
    assert result.numbers["audio/top1"] == pytest.approx((guesses == truth).float().mean().item())


def test_each_caption_of_a_sound_is_a_right_answer(tmp_path):
    options = {**examples.clotho(tmp_path), "split": "evaluation"}
    _, result = evaluated({"name": "clotho", "options": options}, "retrieval")
    assert result.info["items"] == {"audio": 3, "text": 15}
