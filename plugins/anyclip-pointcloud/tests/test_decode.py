"""Every format of points: the same points come out, odd files come out whole, damaged ones are named."""

from __future__ import annotations

import io
import struct
import warnings

import numpy as np
import pytest
import torch
from anyclip_pointcloud.cloud import Cloud, PointWarning
from anyclip_pointcloud.decode import decode

from anyclip import BadSample
from anyclip.readers import Blob

from .conftest import cloud, expected_points

XYZ, RGB = cloud(300), (cloud(300, columns=6)[:, 3:] * 255).astype(np.uint8)
NORMALS = XYZ / np.linalg.norm(XYZ, axis=1, keepdims=True)


def ply(order: str = "<", text: bool = False, extra: str = "", body: bytes | None = None, count: int = 300) -> bytes:
    kind = "ascii" if text else {"<": "binary_little_endian", ">": "binary_big_endian"}[order]
    properties = [f"property float {n}" for n in "xyz"] + [f"property uchar {n}" for n in ("red", "green", "blue")]
    header = "\n".join(["ply", f"format {kind} 1.0", "comment x", f"element vertex {count}", *properties, extra])
    records = np.empty(300, [(n, f"{order}f4") for n in "xyz"] + [(n, "u1") for n in "rgb"])
    for i, name in enumerate("xyz"):
        records[name], records["rgb"[i]] = XYZ[:, i], RGB[:, i]
    if body is None:
        lines = [" ".join(map(str, row)) for row in records.tolist()]
        body = ("\n".join(lines) + "\n").encode() if text else records.tobytes()
    return (header.strip() + "\nend_header\n").encode() + body


def pcd(encoding: str = "binary", rgb: bool = True) -> bytes:
    packed = (RGB.astype(np.uint32) * [1 << 16, 1 << 8, 1]).sum(axis=1).astype(np.uint32)
    fields = [
        ("x", "<f4"),
        ("y", "<f4"),
        ("z", "<f4"),
        ("rgb", "<f4"),
        ("normal_x", "<f4"),
        ("normal_y", "<f4"),
        ("normal_z", "<f4"),
    ]
    records = np.empty(300, fields)
    for i, axis in enumerate("xyz"):
        records[axis], records[f"normal_{axis}"] = XYZ[:, i], NORMALS[:, i]
    records["rgb"] = packed.view(np.float32)  # PCL packs the bytes into a float
    if encoding == "ascii":
        body = "\n".join(" ".join(repr(float(x)) for x in row) for row in records.tolist()).encode()
    elif encoding == "binary":
        body = records.tobytes()
    else:
        columns = b"".join(np.ascontiguousarray(records[name]).tobytes() for name in records.dtype.names)
        literals = [columns[i : i + 32] for i in range(0, len(columns), 32)]
        squeezed = b"".join(bytes([len(part) - 1]) + part for part in literals)
        body = struct.pack("<II", len(squeezed), len(columns)) + squeezed
    names = " ".join(records.dtype.names)
    return (
        f"# .PCD v0.7\nVERSION 0.7\nFIELDS {names}\nSIZE 4 4 4 4 4 4 4\nTYPE F F F F F F F\nCOUNT 1 1 1 1 1 1 1\n"
        f"WIDTH 300\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 300\nDATA {encoding}\n"
    ).encode() + body


def lines(*columns: np.ndarray, separator: str = " ", head: str = "") -> bytes:
    rows = np.concatenate(columns, axis=1).tolist()
    return (head + "\n".join(separator.join(f"{x:.7g}" for x in row) for row in rows)).encode()


def saved(function, *arrays, **named) -> bytes:
    buffer = io.BytesIO()
    function(buffer, *arrays, **named)
    return buffer.getvalue()


def h5(**arrays: np.ndarray) -> bytes:
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
    return buffer.getvalue()


RGB1 = RGB.astype(np.float32) / 255
# name -> (bytes, has colours, has normals)
FILES = {
    "little.ply": (ply(), True, False),
    "big.ply": (ply(">"), True, False),
    "ascii.ply": (ply(text=True), True, False),
    "faces.ply": (
        ply(
            extra="element face 1\nproperty list uchar int vertex_indices",
            body=ply().split(b"end_header\n")[1] + b"\x03" + bytes(12),
        ),
        True,
        False,
    ),
    "binary.pcd": (pcd(), True, True),
    "ascii.pcd": (pcd("ascii"), True, True),
    "packed.pcd": (pcd("binary_compressed"), True, True),
    "plain.xyz": (lines(XYZ), False, False),
    "normals.xyz": (lines(XYZ, NORMALS), False, True),
    "colours.txt": (lines(XYZ, RGB, separator=","), True, False),
    "header.txt": (lines(XYZ, RGB1, separator=";", head="# made by hand\nx;y;z;r;g;b\n"), True, False),
    "bom.xyz": (b"\xef\xbb\xbf" + lines(XYZ), False, False),
    "windows.xyz": (lines(XYZ).replace(b"\n", b"\r\n") + b"\r\n\r\n", False, False),
    "counted.pts": (lines(XYZ, np.zeros((300, 1)), RGB, head="300\n"), True, False),
    "both.txt": (lines(XYZ, RGB, NORMALS), True, True),
    "six.npy": (saved(np.save, np.concatenate([XYZ, RGB1], axis=1)), True, False),
    "double.npy": (saved(np.save, XYZ.astype(np.float64)), False, False),
    "half.npy": (saved(np.save, XYZ.astype(np.float16)), False, False),
    "fortran.npy": (saved(np.save, np.asfortranarray(XYZ)), False, False),
    "big.npy": (saved(np.save, XYZ.astype(">f4")), False, False),
    "named.npz": (saved(np.savez, xyz=XYZ, rgb=RGB, normals=NORMALS), True, True),
    "unnamed.npz": (saved(np.savez_compressed, XYZ), False, False),
    "one.h5": (h5(data=XYZ, normal=NORMALS, label=np.zeros(1)), False, True),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_points(name, tmp_path):
    data, colours, normals = FILES[name]
    path = tmp_path / name
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for value in (str(path), path, Blob(data, name), data, {"bytes": data, "path": name}):
            found = decode(value)
            np.testing.assert_allclose(found.points, XYZ, atol=1e-3 if "half" in name else 1e-6)
            assert (found.colors is not None, found.normals is not None) == (colours, normals)
            if colours:
                np.testing.assert_allclose(found.colors, RGB1, atol=1e-6)
            if normals:
                np.testing.assert_allclose(found.normals, NORMALS, atol=1e-5)


def outcome(value) -> Cloud | str:
    """The cloud, or the reason why there is none."""
    try:
        return decode(value)
    except BadSample as error:
        return error.reason


@pytest.mark.parametrize("name", [n for n in FILES if "half" not in n])
def test_cut_files_are_named(name, tmp_path):
    data = FILES[name][0]
    path = tmp_path / name
    for keep in (0, 10, len(data) // 2 + 1, len(data) * 3 // 4 + 1):
        path.write_bytes(data[:keep])
        found = outcome(str(path))
        if isinstance(found, Cloud):  # a text cut in its middle cannot be told from a shorter one
            assert name.endswith((".xyz", ".txt", ".pts"))
            assert 0 < len(found) < 300
        else:
            assert name in found


@pytest.mark.parametrize("name", FILES)
def test_damaged_bytes_never_crash(name):
    data = bytearray(FILES[name][0])
    rng = np.random.Generator(np.random.Philox(1))
    for _ in range(25):
        spoilt = bytearray(data)
        for place in rng.integers(0, min(len(data), 400), 4):
            spoilt[place] = rng.integers(256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = outcome(Blob(bytes(spoilt), name))
        assert np.isfinite(found.points).all() if isinstance(found, Cloud) else found.startswith(f"{name}: ")


def test_rows_of_files_with_several_clouds(tmp_path):
    several = np.stack([XYZ, XYZ + 1, XYZ + 2])
    np.save(tmp_path / "a.npy", several)
    np.savez(tmp_path / "a.npz", points=several, colors=np.stack([RGB] * 3))
    (tmp_path / "a.h5").write_bytes(h5(data=several, normal=np.stack([NORMALS] * 3)))
    for name in ("a.npy", "a.npz", "a.h5"):
        found = decode(f"{tmp_path / name}#2")
        np.testing.assert_allclose(found.points, XYZ + 2)
        assert (found.colors is not None) == (name == "a.npz")
        assert (found.normals is not None) == (name == "a.h5")
        with pytest.raises(BadSample, match=r"\[3, 300, 3\]. One of several clouds is .*#ROW"):
            decode(str(tmp_path / name))
        with pytest.raises(BadSample, match="holds 3 clouds; there is no #3"):
            decode(f"{tmp_path / name}#3")


def test_large_files_are_thinned_evenly(tmp_path, monkeypatch):
    monkeypatch.setattr("anyclip_pointcloud.sources._BUFFER", 1000)  # many blocks
    monkeypatch.setattr("anyclip_pointcloud.text._BLOCK", 1000)
    for name, (data, colours, _) in FILES.items():
        (tmp_path / name).write_bytes(data)
        for value in (str(tmp_path / name), Blob(data, name)):
            thin = decode(value, most=100)
            np.testing.assert_allclose(thin.points, decode(value).points[::3], atol=1e-6)
            assert not colours or len(thin.colors) == 100


def test_values_in_memory():
    for value in (XYZ, XYZ.tolist(), torch.from_numpy(XYZ), {"points": XYZ}, {"xyz": XYZ.tolist()}, Cloud(XYZ)):
        np.testing.assert_allclose(decode(value).points, XYZ, atol=1e-6)
    found = decode({"points": XYZ, "colors": RGB, "normals": torch.from_numpy(NORMALS)})
    np.testing.assert_allclose(found.colors, RGB1, atol=1e-6)
    np.testing.assert_allclose(found.normals, NORMALS, atol=1e-6)
    integers = (XYZ * 100).astype(np.int32)
    assert (decode(integers).points == integers).all()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.zeros((3, 40)), r"this is \[3, 40\]: transposed\?"),
        (np.zeros((40, 2)), r"this is \[40, 2\]"),
        (np.zeros((0, 3)), "holds 0 points"),
        (np.zeros(7), r"this is \[7\]"),
        (np.full((4, 3), np.nan), "none of its 4 points is finite"),
        (np.array([["a", "b", "c"]]), "not numbers"),
        ([[1, 2, 3], [1, 2]], "different lengths"),
        ({"points": XYZ, "colors": RGB[:7]}, r"colors are \[N, 3\] numbers, N = 300, not \[7, 3\]"),
        ({"vertices": XYZ}, "has none of points"),
        (7.5, "not float"),
        ("/no/such/file.ply", "/no/such/file.ply: no such file"),
        ("/", "is a folder"),
        (Blob(b"", "x.ply"), "x.ply: the file is empty"),
        (Blob(b"hello world", "x.ply"), "x.ply: not a ply file: it begins with b'hello world'"),
        (Blob(b"hello world", "x.xyz"), "x.xyz: not a point cloud that can be read: no row of numbers"),
        (Blob(b"1 2 3\n4 5 6\n7 eight 9\n", "x.xyz"), "not numbers only, near 'eight'"),
        (Blob(b"1 2 3\n4 5\n", "x.xyz"), "5 numbers are no rows of 3"),
        (Blob(ply(count=10**10), "x.ply"), "truncated: the header says 10000000000 of vertex"),
        (Blob(ply(text=True).replace(b"float x", b"float a"), "x.ply"), "has no x, y, z but a, y, z, red"),
        (Blob(pcd().replace(b"POINTS 300", b"POINTS 999"), "x.pcd"), "the header says 999 points, 300 are there"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said(value, reason):
    with pytest.raises(BadSample, match=reason):
        decode(value)


def test_objects_are_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    np.save(tmp_path / "x.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", points=np.array([Bomb()], dtype=object))
    for name in ("x.npy", "x.npz"):
        with pytest.raises(BadSample, match="pickled Python objects, which are not read"):
            decode(str(tmp_path / name))


def test_points_that_are_not_finite_are_left_out_with_a_warning():
    spoilt = np.concatenate([XYZ, RGB1], axis=1)
    spoilt[3, 1], spoilt[9, 0], spoilt[20, 4] = np.nan, -np.inf, np.nan
    with pytest.warns(PointWarning, match="2 of 300 points are not finite"):
        found = decode(spoilt)
    assert len(found) == 298
    assert found.points.dtype == np.float32
    assert np.isfinite(found.colors).all()


def test_columns_that_are_neither_are_left_out_with_a_warning():
    with pytest.warns(PointWarning, match="columns 4 to 6 are neither colours nor unit normals"):
        found = decode(np.concatenate([XYZ, XYZ * 300], axis=1))
    assert found.colors is None
    assert decode(np.concatenate([XYZ, XYZ[:, :1]], axis=1)).colors is None  # an intensity


def test_lzf_copies_reach_into_what_they_write():
    from anyclip_pointcloud.pcd import _unpack

    # literal "ab", then a copy of 9 from 2 back, then a long copy (7 + 20 + 2 = 29) from 1 back
    packed = bytes([1, 97, 98, (7 << 5) | 0, 0, 1, (7 << 5) | 0, 20, 0])
    assert _unpack(packed, 2 + 9 + 29, None) == b"ab" + b"ababababa" + b"a" * 29


def test_open3d_reads_the_same_points(tmp_path):
    o3d = pytest.importorskip("open3d")
    theirs = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(XYZ.astype(float)))
    theirs.colors = o3d.utility.Vector3dVector(RGB1.astype(float))
    theirs.normals = o3d.utility.Vector3dVector(NORMALS.astype(float))
    for name in ("x.ply", "x.pcd"):
        for text, packed in ((True, False), (False, False), (False, True)):
            assert o3d.io.write_point_cloud(str(tmp_path / name), theirs, write_ascii=text, compressed=packed)
            found = decode(str(tmp_path / name))
            np.testing.assert_allclose(found.points, XYZ, atol=1e-6)
            np.testing.assert_allclose(found.colors, RGB1, atol=1 / 255)
            np.testing.assert_allclose(found.normals, NORMALS, atol=1e-5)


def test_las_and_laz(tmp_path):
    laspy = pytest.importorskip("laspy")
    las = laspy.create(point_format=3, file_version="1.2")
    las.header.offsets, las.header.scales = [500_000.0, 4_000_000.0, 0.0], [1e-4] * 3
    georeferenced = XYZ + np.array([500_100.0, 4_000_100.0, 5.0])
    las.x, las.y, las.z = georeferenced.T
    las.red, las.green, las.blue = (RGB.astype(np.uint16) * 257).T
    for name in ("x.las", "x.laz"):
        las.write(str(tmp_path / name))
        found = decode(str(tmp_path / name))
        np.testing.assert_allclose(found.points, georeferenced, atol=1e-4)
        assert found.points.dtype == np.float64
        np.testing.assert_allclose(found.colors, RGB1, atol=1e-4)
        assert len(decode(str(tmp_path / name), most=50)) == 50
        data = (tmp_path / name).read_bytes()
        assert len(decode(Blob(data, name))) == 300
        with pytest.raises(BadSample, match=name):
            decode(Blob(data[: len(data) // 2], name))


def test_las_without_laspy_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "laspy", None)
    with pytest.raises(BadSample, match=r"x\.las: las and laz need laspy: pip install 'anyclip-pointcloud\[las\]'"):
        decode(Blob(b"LASF" + bytes(300), "x.las"))


@pytest.mark.parametrize("row", expected_points(), ids=lambda row: row["file"])
def test_the_broken_files(broken, row):
    path = str(broken / row["file"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PointWarning)
        if row["expect"].startswith(("clear error", "refused")):
            with pytest.raises(BadSample, match=row["file"].split("/")[1]):
                decode(path)
            return
        found = decode(path)
    assert np.isfinite(found.points).all()
    good = decode(str(broken / "points/good.ply"))
    if "same points as good" in row["expect"]:
        np.testing.assert_array_equal(found.points, good.points)
    if "64 points" in row["expect"]:
        assert len(found) == 64
    if "NaN" in row["expect"]:
        assert len(found) == len(good) - 2
    if "surface sampled" in row["expect"]:
        assert len(found) == 10_000
        assert found.normals is not None
