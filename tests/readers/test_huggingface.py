"""The huggingface reader: folders of save_to_disk and Parquet files, undecoded and offline."""

from __future__ import annotations

import builtins
import pickle
import shutil
import socket
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anyclip.errors import DataError, UserError
from anyclip.readers import Blob
from anyclip.readers.huggingface import HuggingFaceReader
from anyclip.readers.options import HuggingFaceOptions


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def reader(path: Path | str, **options) -> HuggingFaceReader:
    return HuggingFaceReader(HuggingFaceOptions(path=str(path), **options))


ROWS = {
    "image": [{"bytes": b"not an image", "path": "1.png"}, {"bytes": b"unnamed", "path": None}, None],
    "text": ["a", "b", "c"],
    "label": [1, 0, -1],
    "many": [["x", "y"], ["z"], []],
}


@pytest.fixture
def saved(tmp_path) -> Path:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["cat", "dog"]),
            "many": [datasets.Value("string")],
        }
    )
    made = datasets.Dataset.from_dict(ROWS, features=features)
    made.save_to_disk(tmp_path / "saved")
    datasets.DatasetDict({"train": made, "test": made.select([2])}).save_to_disk(tmp_path / "dict")
    made.to_parquet(tmp_path / "made.parquet")
    return tmp_path


@pytest.mark.parametrize("name", ["saved", "made.parquet"])
def test_rows_come_undecoded(saved, name):
    made = reader(saved / name)
    assert made.columns() == list(ROWS)
    assert made[0] == {"image": Blob(b"not an image", "1.png"), "text": "a", "label": "dog", "many": ["x", "y"]}
    assert made.value(1, "image") == Blob(b"unnamed", "image")
    assert (made.value(2, "image"), made.value(2, "label")) == (None, None)
    assert made.sample_id(1) == f"{name}:2"
    assert pickle.loads(pickle.dumps(made))[0] == made[0]
    with pytest.raises(IndexError):
        made[3]


def test_splits_of_a_dict(saved):
    assert len(reader(saved / "dict", split="train")) == 3
    assert reader(saved / "dict", split="test")[0]["text"] == "c"
    with pytest.raises(DataError, match="set `split` to one of: train, test"):
        reader(saved / "dict")
    with pytest.raises(DataError, match=r"no split 'trian'. Did you mean train\?"):
        reader(saved / "dict", split="trian")
    with pytest.raises(DataError, match="without splits"):
        reader(saved / "saved", split="train")


@pytest.mark.parametrize("name", ["saved", "made.parquet"])
def test_where(saved, name):
    made = reader(saved / name, where='text in ["b", "c"] and label == 0')
    assert [made[i]["text"] for i in range(len(made))] == ["b"]
    assert made.sample_id(0) == f"{name}:2"
    with pytest.raises(DataError, match="Did you mean text"):
        reader(saved / name, where='txt == "b"')
    with pytest.raises(DataError, match="no row is left"):
        reader(saved / name, where='text == "q"')


def test_row_selections_are_followed(tmp_path):
    datasets = pytest.importorskip("datasets")
    made = datasets.Dataset.from_dict({"n": list(range(10))}).select([7, 3])
    made.save_to_disk(tmp_path / "part")
    assert [reader(tmp_path / "part")[i]["n"] for i in range(2)] == [7, 3]


@pytest.mark.parametrize("name", ["saved", "made.parquet"])
def test_fingerprint_follows_content(saved, name, tmp_path):
    before = reader(saved / name).fingerprint()
    other = tmp_path / "other" / name
    other.parent.mkdir()
    (shutil.copytree if (saved / name).is_dir() else shutil.copy)(saved / name, other)
    assert reader(other).fingerprint() == before
    assert reader(saved / name, where='text != "a"').fingerprint() != before


def parquet(path: Path, *texts: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": list(texts)}), path)


def test_folders_of_parquet(tmp_path):
    parquet(tmp_path / "data" / "train-00001-of-00002.parquet", "c")
    parquet(tmp_path / "data" / "train-00000-of-00002.parquet", "a", "b")
    parquet(tmp_path / "data" / "test-00000-of-00001.parquet", "d")
    made = reader(tmp_path, split="train")
    assert [made[i]["text"] for i in range(len(made))] == ["a", "b", "c"]
    assert made.sample_id(2) == "train-00001-of-00002.parquet:1"
    with pytest.raises(DataError, match="one of: test, train"):
        reader(tmp_path)
    assert len(reader(tmp_path / "data" / "*.parquet", split="test")) == 1


def test_parts_without_splits(tmp_path):
    parquet(tmp_path / "part-1.parquet", "a")
    parquet(tmp_path / "part-2.parquet", "b")
    made = reader(tmp_path)
    assert [made[i]["text"] for i in range(2)] == ["a", "b"]
    pq.write_table(pa.table({"other": [1]}), tmp_path / "part-3.parquet")
    with pytest.raises(DataError, match=r"part-3.parquet: has other columns or types than part-1.parquet"):
        reader(tmp_path)


def test_hub_names_and_empty_folders(tmp_path):
    with pytest.raises(DataError, match="never a hub name"):
        reader("user/dataset")
    with pytest.raises(DataError, match="holds no `datasets` folder and no Parquet file"):
        reader(tmp_path)


def test_without_the_package(tmp_path, monkeypatch):
    (tmp_path / "state.json").write_text("{}")
    real = builtins.__import__

    def no_datasets(name, *args, **kwargs):
        if name == "datasets":
            raise ImportError("No module named 'datasets'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_datasets)
    with pytest.raises(UserError, match=r"needs the package datasets(.|\n)*next: pip install 'anyclip\[huggingface\]'"):
        reader(tmp_path)
    parquet(tmp_path / "x" / "made.parquet", "a")
    assert len(reader(tmp_path / "x")) == 1


def test_a_damaged_folder(tmp_path):
    pytest.importorskip("datasets")
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(DataError, match="is not a readable `datasets` folder"):
        reader(tmp_path)
