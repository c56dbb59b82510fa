"""Small imitations of the published data sets, as `ReaderSpec.example` wants them; also what the tests read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from anyclip_pointcloud.solids import solid

SHAPES = ("ring", "square", "circle")
OFF = "OFF\n4 4 6\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"


def clouds(count: int, points: int = 64) -> np.ndarray:
    """[count, points, 3] float32, a solid each."""
    rng = np.random.Generator(np.random.Philox(0))
    return np.stack([solid(SHAPES[i % 3], points, rng) for i in range(count)]).astype(np.float32)


def write_h5(path: Path, labels: list[int], *, normals: bool = False) -> None:
    """Clouds and labels [M, 1] as ModelNet40 and ScanObjectNN have them."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    data = clouds(len(labels))
    with h5py.File(path, "w") as file:
        file["data"] = data
        file["label"] = np.array(labels, np.uint8)[:, None]
        if normals:
            file["normal"] = data / np.linalg.norm(data, axis=2, keepdims=True)


def modelnet(folder: Path) -> dict[str, Any]:
    """modelnet40_ply_hdf5_2048: two files of training, one of test."""
    (folder / "shape_names.txt").write_text("airplane\nchair\nnight_stand\n")
    (folder / "train_files.txt").write_text(
        "data/modelnet40_ply_hdf5_2048/ply_data_train0.h5\ndata/modelnet40_ply_hdf5_2048/ply_data_train1.h5\n"
    )
    (folder / "test_files.txt").write_text("data/modelnet40_ply_hdf5_2048/ply_data_test0.h5\n")
    write_h5(folder / "ply_data_train0.h5", [0, 2, 1], normals=True)
    write_h5(folder / "ply_data_train1.h5", [1, 1], normals=True)
    write_h5(folder / "ply_data_test0.h5", [2, 0], normals=True)
    return {"path": str(folder)}


def modelnet_lists(folder: Path) -> dict[str, Any]:
    """modelnet40_normal_resampled."""
    names = {"train": ["chair_0001", "night_stand_0001"], "test": ["chair_0890"]}
    for split, listed in names.items():
        (folder / f"modelnet40_{split}.txt").write_text("\n".join(listed) + "\n")
        for name in listed:
            cloud = clouds(1)[0]
            rows = np.concatenate([cloud, cloud / np.linalg.norm(cloud, axis=1, keepdims=True)], axis=1)
            (folder / name.rpartition("_")[0]).mkdir(exist_ok=True)
            np.savetxt(folder / name.rpartition("_")[0] / f"{name}.txt", rows, fmt="%.6f", delimiter=",")
    return {"path": str(folder)}


def modelnet_folders(folder: Path) -> dict[str, Any]:
    """ModelNet10 and ModelNet40 as meshes; the second has its header fused."""
    for label in ("bathtub", "night_stand"):
        for split, numbers in (("train", (1, 2)), ("test", (107,))):
            (folder / label / split).mkdir(parents=True)
            for number in numbers:
                text = OFF if number != 2 else OFF.replace("OFF\n", "OFF", 1)
                (folder / label / split / f"{label}_{number:04d}.off").write_text(text)
    return {"path": str(folder)}


def scanobjectnn(folder: Path) -> dict[str, Any]:
    """Two variants with background, one without."""
    for place in ("main_split", "main_split_nobg"):
        for split, labels in (("training", [0, 14, 4]), ("test", [4, 9])):
            write_h5(folder / "h5_files" / place / f"{split}_objectdataset.h5", labels)
    write_h5(folder / "h5_files/main_split/test_objectdataset_augmentedrot_scale75.h5", [3, 3, 5])
    return {"path": str(folder)}


def shapenet(folder: Path) -> dict[str, Any]:
    """ShapeNet-55 with two renderings of its first object."""
    taxonomy = [
        {"synsetId": "02691156", "name": "airplane,aeroplane,plane", "children": [], "numInstances": 2},
        {"synsetId": "03001627", "name": "chair", "children": [], "numInstances": 1},
    ]
    (folder / "taxonomy.json").write_text(json.dumps(taxonomy))
    names = {"train": ["02691156-1a04e3", "03001627-ff-0"], "test": ["02691156-1b171"]}
    (folder / "shapenet_pc").mkdir()
    for split, listed in names.items():
        (folder / f"{split}.txt").write_text("".join(f"{name}.npy\n" for name in listed))
        for name in listed:
            np.save(folder / "shapenet_pc" / f"{name}.npy", clouds(1)[0])
    images = folder / "rendered_images" / "02691156-1a04e3"
    images.mkdir(parents=True)
    for view in ("000", "000_depth0001", "012"):
        (images / f"02691156-1a04e3_r_{view}.png").write_bytes(b"\x89PNG")
    return {"path": str(folder)}


def shapenet_core(folder: Path) -> dict[str, Any]:
    """ShapeNetCore: a mesh per object."""
    (folder / "taxonomy.json").write_text(json.dumps([{"synsetId": "03001627", "name": "chair"}]))
    for synset, model in (("03001627", "b"), ("03001627", "a"), ("04379243", "c")):
        (folder / synset / model / "models").mkdir(parents=True)
        (folder / synset / model / "models" / "model_normalized.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    return {"path": str(folder)}


def objaverse(folder: Path) -> dict[str, Any]:
    """OpenShape's split file: dictionaries with captions; the last entry is a plain npz as ULIP-2 has them."""
    rows = []
    for i in range(3):
        data = {
            "dataset": "Objaverse",
            "xyz": clouds(3)[i],
            "rgb": np.full((64, 3), 0.25 * i),
            "image_feat": np.zeros((2, 4), np.float32),
            "text": [f"object {i}"],
            "text_feat": [{"original": np.zeros((1, 4), np.float32)}],
            "blip_caption": f"a thing {i}",
            "msft_caption": "",
            "retrieval_text": [f"thing {i}", f"object {i}"],
        }
        np.save(folder / f"{i}.npy", np.array(data, dtype=object), allow_pickle=True)
        rows.append({"id": f"uid{i}", "dataset": "Objaverse", "group": "000-001", "data_path": f"{i}.npy"})
    np.savez(folder / "uid3_10000.npz", xyz=clouds(1)[0], rgb=np.zeros((64, 3), np.uint8))
    rows.append({"uid": "uid3", "category": "mug", "captions": ["a mug"], "image": "uid3.png"})
    (folder / "split.json").write_text(json.dumps(rows))
    return {"path": str(folder / "split.json"), "file": "{uid}_10000.npz"}
