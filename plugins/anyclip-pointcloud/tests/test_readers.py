"""Readers of published data sets, on small imitations of their layouts."""

from __future__ import annotations

import json
import pickle

import h5py
import numpy as np
import pytest
from anyclip_pointcloud import layout_examples as examples
from anyclip_pointcloud.decode import decode
from anyclip_pointcloud.objects import read_objects

from anyclip import BadSample
from anyclip.errors import DataError
from anyclip.readers import create_reader
from anyclip.testing import ReaderContract


class TestModelnet(ReaderContract):
    name = "modelnet"


class TestScanobjectnn(ReaderContract):
    name = "scanobjectnn"


class TestShapenet(ReaderContract):
    name = "shapenet"


class TestObjaverse(ReaderContract):
    name = "objaverse"


def rows(name: str, made: dict, **options) -> list[dict]:
    reader = create_reader(name, {**made, **options})
    found = [dict(reader[i]) for i in range(len(reader))]
    assert [reader.sample_id(i) for i in range(len(reader))] == [row["name"] for row in found]
    assert reader.find("anything", modality="pointcloud") == "points"
    assert reader.find("anything", modality="image") is None
    for row in found:  # what a row gives can be decoded
        value = row["points"]
        assert len(decode(reader.locate(value) if isinstance(value, str) else value)) > 0
        assert set(row) <= set(reader.columns())
    return found


def test_modelnet_h5(tmp_path):
    made = examples.modelnet(tmp_path)
    train = rows("modelnet", made)
    assert [row["label"] for row in train] == ["airplane", "night_stand", "chair", "chair", "chair"]
    assert train[3]["name"] == "ply_data_train1.h5#0"
    np.testing.assert_array_equal(train[1]["points"]["points"], examples.clouds(3)[1])
    assert train[1]["points"]["normals"].shape == (64, 3)
    assert [row["label"] for row in rows("modelnet", made, split="test")] == ["night_stand", "airplane"]
    assert len(rows("modelnet", made, split="all")) == 7
    chairs = create_reader("modelnet", {**made, "categories": ["chair"]})
    assert len(chairs) == 3
    assert chairs.classes == ["chair"]


def test_modelnet_resampled(tmp_path):
    made = examples.modelnet_lists(tmp_path)
    found = rows("modelnet", made)
    assert [row["label"] for row in found] == ["chair", "night_stand"]
    cloud = decode(str(tmp_path / found[0]["points"]))
    assert cloud.normals is not None
    np.testing.assert_allclose(cloud.points, examples.clouds(1)[0], atol=1e-6)
    assert [row["name"] for row in rows("modelnet", made, split="test")] == ["chair_0890"]
    with pytest.raises(DataError, match=r"there is no modelnet10_train.txt(.|\n)*Wanted: "):
        create_reader("modelnet", {**made, "lists": "modelnet10", "layout": "lists"})


def test_modelnet_meshes(tmp_path):
    made = examples.modelnet_folders(tmp_path)
    found = rows("modelnet", made)
    assert [row["points"] for row in found] == [
        f"{label}/train/{label}_{n:04d}.off" for label in ("bathtub", "night_stand") for n in (1, 2)
    ]
    one, fused = (decode(str(tmp_path / row["points"])).points for row in found[:2])
    np.testing.assert_array_equal(one, fused)
    assert len(rows("modelnet", made, split="test")) == 2


def test_scanobjectnn(tmp_path):
    made = examples.scanobjectnn(tmp_path)
    assert [row["label"] for row in rows("scanobjectnn", made)] == ["bag", "toilet", "chair"]
    assert [row["label"] for row in rows("scanobjectnn", made, split="test", background=False)] == ["chair", "table"]
    hardest = rows("scanobjectnn", made, split="test", variant="t50_rs")
    assert [row["label"] for row in hardest] == ["cabinet", "cabinet", "desk"]
    inside = {"path": str(tmp_path / "h5_files" / "main_split")}
    assert len(rows("scanobjectnn", inside, split="test", variant="t50_rs")) == 3
    with pytest.raises(DataError, match=r"there is no training_objectdataset_augmentedrot.h5"):
        create_reader("scanobjectnn", {**made, "variant": "t50_r"})


def test_shapenet55(tmp_path):
    made = examples.shapenet(tmp_path)
    found = rows("shapenet", made)
    assert [row["label"] for row in found] == ["airplane", "chair", "airplane"]
    assert found[0]["text"] == ["airplane", "aeroplane", "plane"]
    assert found[0]["image"] == [f"rendered_images/02691156-1a04e3/02691156-1a04e3_r_{v}.png" for v in ("000", "012")]
    assert found[1]["image"] is None
    assert found[1]["name"] == "03001627-ff-0"
    assert len(rows("shapenet", made, images="all")[0]["image"]) == 3
    assert len(rows("shapenet", made, views=[12])[0]["image"]) == 1
    assert len(rows("shapenet", made, split="test")) == 1


def test_shapenet_core(tmp_path):
    made = examples.shapenet_core(tmp_path)
    found = rows("shapenet", made)
    assert [(row["name"], row["label"], row["text"]) for row in found] == [
        ("03001627-a", "chair", ["chair"]),
        ("03001627-b", "chair", ["chair"]),
        ("04379243-c", "04379243", ["04379243"]),
    ]
    with pytest.raises(DataError, match=r"there is no train.txt, which split: train needs"):
        create_reader("shapenet", {**made, "split": "train"})


def test_objaverse_in_the_layout_of_openshape(tmp_path):
    made = examples.objaverse(tmp_path)
    found = rows("objaverse", made)
    np.testing.assert_array_equal(found[1]["points"]["points"], examples.clouds(3)[1])
    assert (found[1]["points"]["colors"] == 0.25).all()
    assert found[1]["text"] == ["object 1", "a thing 1", "thing 1"]
    assert found[1]["label"] == "000-001"
    assert found[3] == {
        "points": "uid3_10000.npz", "name": "uid3", "text": ["a mug"], "label": "mug", "image": "uid3.png"
    }  # fmt: skip
    only = create_reader("objaverse", {**made, "texts": ["blip_caption"]})
    assert only[0]["text"] == ["a thing 0"]


def test_objaverse_listings(tmp_path):
    np.save(tmp_path / "a.npy", examples.clouds(1)[0])
    for text, name in (
        (json.dumps({"uid0": "a.npy"}), "x.json"),  # Uni3D: id -> path
        (json.dumps({"uid0": {"data_path": "a.npy"}}), "y.json"),
        (json.dumps({"id": "uid0", "path": "a.npy"}) + "\n\n", "z.jsonl"),
    ):
        (tmp_path / name).write_text(text)
        (row,) = rows("objaverse", {"path": str(tmp_path / name)})
        assert row == {"points": "a.npy", "name": "uid0"}
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "l.json").write_text(json.dumps(["a.npy"]))
    (row,) = rows("objaverse", {"path": str(tmp_path / "elsewhere" / "l.json"), "root": str(tmp_path)})
    assert row["name"] == "a.npy"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "holds no object"),
        ("[7]", "entry 0 is a int, no object"),
        ('[{"category": "mug"}]', "entry 0 has none of id, uid"),
        ('[{"id": "a"}]', r"file: '\{uid\}.npz' does not fit entry 0"),
    ],
)
def test_listings_that_cannot_be_used(tmp_path, text, reason):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError, match=reason):
        create_reader("objaverse", {"path": str(tmp_path / "x.json"), "file": "{uid}.npz"})


def test_dictionaries_are_read_without_running_their_pickle(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    np.save(tmp_path / "x.npy", np.array({"xyz": Bomb()}, dtype=object), allow_pickle=True)
    with pytest.raises(BadSample, match=r"x.npy: not a dictionary of arrays: .*Nothing of it was run"):
        read_objects((tmp_path / "x.npy").read_bytes(), "x.npy")
    for protocol in (2, 3, 4):  # as older versions of numpy wrote them
        value = np.array({"xyz": np.arange(6.0).reshape(2, 3), "n": np.int64(4), "t": ["a", "é"]}, dtype=object)
        header = (tmp_path / "x.npy").read_bytes()[:128]
        found = read_objects(header + pickle.dumps(value, protocol=protocol), "x")
        np.testing.assert_array_equal(found["xyz"], [[0, 1, 2], [3, 4, 5]])
        assert found["n"] == 4
        assert found["t"] == ["a", "é"]
    for spoilt in (header, header + b"\x80\x04N.", header[:20], pickle.dumps(value)):
        with pytest.raises(BadSample, match=r"^x: "):
            read_objects(spoilt, "x")


def test_mistakes_are_said(tmp_path):
    made = examples.modelnet(tmp_path)
    with pytest.raises(DataError, match=r"no class 'chairs'. Did you mean chair\?"):
        create_reader("modelnet", {**made, "categories": ["chairs"]})
    (tmp_path / "shape_names.txt").write_text("airplane\n")
    with pytest.raises(DataError, match="has class 2, 1 classes have names"):
        create_reader("modelnet", made)
    (tmp_path / "ply_data_train0.h5").write_bytes(b"no h5")
    with pytest.raises(DataError, match=r"ply_data_train0.h5: not an h5 file with `data` and `label`"):
        create_reader("modelnet", made)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"no object of split 'train'. Wanted: train_files.txt"):
        create_reader("modelnet", {"path": str(empty)})
    with h5py.File(tmp_path / "ply_data_test0.h5", "a") as data:
        data["label"][...] = 0
    reader = create_reader("modelnet", {**made, "split": "test"})
    (tmp_path / "ply_data_test0.h5").unlink()
    with pytest.raises(BadSample, match=r"ply_data_test0\.h5#1"):
        reader[1]


def test_another_split_has_another_fingerprint(tmp_path):
    made = examples.modelnet(tmp_path)
    one, same, other = (
        create_reader("modelnet", {**made, "split": s}).fingerprint() for s in ("train", "train", "test")
    )
    assert one == same != other
