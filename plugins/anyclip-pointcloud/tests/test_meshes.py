"""Meshes: surfaces are sampled evenly; obj, stl, glb and gltf with open3d, with trimesh, and without open3d."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
import trimesh
from anyclip_pointcloud import meshes
from anyclip_pointcloud.cloud import PointWarning
from anyclip_pointcloud.decode import decode
from anyclip_pointcloud.mesh import Mesh, fan, sample_surface
from anyclip_pointcloud.options import PointOptions
from anyclip_pointcloud.processor import PointProcessor

from anyclip import BadSample
from anyclip.errors import UserError
from anyclip.readers import Blob

HAS_OPEN3D = meshes.open3d_problem() is None
BACKENDS = ["trimesh", pytest.param("open3d", marks=pytest.mark.skipif(not HAS_OPEN3D, reason="no open3d here"))]


def box() -> trimesh.Trimesh:
    """2 x 1 x 0.5 around (1, 0, 0): surface 7."""
    found = trimesh.creation.box(extents=(2, 1, 0.5))
    found.apply_translation((1, 0, 0))
    return found


def check_box(points: np.ndarray) -> None:
    np.testing.assert_allclose(points.min(axis=0), (0, -0.5, -0.25), atol=0.05)
    np.testing.assert_allclose(points.max(axis=0), (2, 0.5, 0.25), atol=0.05)
    local = np.abs(points - (1, 0, 0)) / (1, 0.5, 0.25)
    on = np.isclose(local, 1, atol=1e-4)
    assert on.any(axis=1).all()  # every point lies on the surface
    shares = [(on[:, axis]).mean() for axis in range(3)]
    np.testing.assert_allclose(shares, (1 / 7, 2 / 7, 4 / 7), atol=0.02)  # in proportion to the area


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("suffix", [".obj", ".stl", ".glb", ".gltf", ".ply", ".off"])
def test_every_mesh_format_gives_the_surface(tmp_path, suffix, backend):
    path = tmp_path / f"box{suffix}"
    if suffix == ".gltf":
        for name, data in trimesh.exchange.gltf.export_gltf(box().scene()).items():
            (tmp_path / name.replace("model.gltf", "box.gltf")).write_bytes(data)
    else:
        box().export(str(path))
    found = decode(str(path), surface=4000, backend=backend)
    assert len(found) == 4000
    check_box(found.points)
    np.testing.assert_allclose(np.linalg.norm(found.normals, axis=1), 1, atol=1e-5)
    outward = np.einsum("nc,nc->n", found.normals, found.points - (1, 0, 0))
    assert (outward > 0).all()
    if suffix != ".gltf":  # its buffers lie beside it
        check_box(decode(Blob(path.read_bytes(), path.name), surface=4000, backend=backend).points)


@pytest.mark.parametrize("suffix", [".obj", ".stl", ".glb"])
def test_a_file_has_one_cloud_with_and_without_open3d(tmp_path, suffix):
    if not HAS_OPEN3D:
        pytest.skip("no open3d here")
    shape = trimesh.creation.icosphere(subdivisions=2)
    shape.export(str(tmp_path / f"x{suffix}"))
    one, two = (decode(str(tmp_path / f"x{suffix}"), backend=b).points for b in ("open3d", "trimesh"))
    if suffix == ".stl":  # assimp sorts its triangles
        one, two = (p[np.lexsort(np.round(p, 2).T)] for p in (one, two))
    else:
        np.testing.assert_allclose(one, two, atol=1e-5)
    np.testing.assert_allclose(one.mean(axis=0), two.mean(axis=0), atol=0.01)


def test_meshes_without_open3d(tmp_path, without_open3d):
    box().export(str(tmp_path / "box.obj"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_box(decode(str(tmp_path / "box.obj"), colors=False, surface=4000).points)
    PointProcessor(PointOptions(points=32)).load(str(tmp_path / "box.obj"))
    with pytest.raises(UserError) as error:
        PointProcessor(PointOptions(backend="open3d"))
    assert str(error.value) == (
        "backend: open3d is not installed. Use auto or trimesh, or install what it needs.\n"
        "  next: pip install 'anyclip-pointcloud[open3d]'"
    )


def test_missing_libraries_of_the_system_give_the_line_that_installs_them(tmp_path, monkeypatch):
    def broken(name, *more, load=importlib.import_module):
        if name == "open3d":
            raise OSError("libusb-1.0.so.0: cannot open shared object file: No such file or directory")
        return load(name, *more)

    monkeypatch.setattr(meshes.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(meshes.importlib, "import_module", broken)
    meshes.open3d_problem.cache_clear()
    meshes._tell_open3d.cache_clear()
    box().export(str(tmp_path / "box.stl"))
    try:
        with pytest.warns(
            PointWarning, match=r"libusb-1\.0\.so\.0.*read with trimesh.*apt-get install -y libusb-1\.0-0"
        ):
            check_box(decode(str(tmp_path / "box.stl"), surface=4000).points)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # said once
            decode(str(tmp_path / "box.stl"))
        with pytest.raises(
            UserError, match=r"does not load: libusb(.|\n)*next: apt-get install -y libusb-1.0-0 libgl1"
        ):
            PointProcessor(PointOptions(backend="open3d"))
    finally:
        meshes.open3d_problem.cache_clear()
        meshes._tell_open3d.cache_clear()


def test_open3d_is_not_imported_for_points():
    code = (
        "import sys, numpy as np\n"
        "from anyclip_pointcloud.decode import decode\n"
        "decode(np.zeros((5, 3)))\n"
        "sys.exit('imported' if {'open3d', 'trimesh', 'h5py', 'plyfile'} & set(sys.modules) else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_colours_of_corners_faces_and_materials(tmp_path):
    red_blue = box()
    red_blue.visual.vertex_colors = np.where(red_blue.vertices[:, :1] > 1, [[255, 0, 0, 255]], [[0, 0, 255, 255]])
    for suffix in (".ply", ".glb"):
        red_blue.export(str(tmp_path / f"x{suffix}"))
        found = decode(str(tmp_path / f"x{suffix}"))
        share = found.points[:, 0] / 2
        assert found.colors is not None, suffix
        np.testing.assert_allclose(found.colors[:, 0], share, atol=0.02)
        np.testing.assert_allclose(found.colors[:, 2], 1 - share, atol=0.02)
    (tmp_path / "m.mtl").write_text("newmtl leaf\nKd 0.2 0.8 0.2\n")
    corners = "\n".join(f"v {x} {y} {z}" for x, y, z in box().vertices)
    faces = "\n".join(f"f {a + 1} {b + 1} {c + 1}" for a, b, c in box().faces)
    (tmp_path / "m.obj").write_text(f"mtllib m.mtl\n{corners}\nusemtl leaf\n{faces}\n")
    np.testing.assert_allclose(decode(str(tmp_path / "m.obj")).colors, [[0.2, 0.8, 0.2]] * 10_000, atol=0.01)


def test_textures_are_read_where_the_points_are(tmp_path):
    """One large quad with a picture of two halves: its corners alone would say neither colour."""
    from PIL import Image

    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:2, :, 0], pixels[2:, :, 2] = 255, 255  # red above, blue below
    Image.fromarray(pixels).save(tmp_path / "t.png")
    (tmp_path / "m.mtl").write_text("newmtl t\nKd 1 1 1\nmap_Kd t.png\n")
    (tmp_path / "m.obj").write_text(
        "mtllib m.mtl\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nusemtl t\n"
        "f 1/1 2/2 3/3 4/4\n"
    )
    trimesh.load_scene(str(tmp_path / "m.obj")).export(str(tmp_path / "m.glb"))
    for name in ("m.obj", "m.glb"):
        found = decode(str(tmp_path / name), surface=2000)
        above = found.points[:, 1] > 0.5
        np.testing.assert_allclose(found.colors[above], [[1, 0, 0]] * above.sum(), atol=0.02)
        np.testing.assert_allclose(found.colors[~above], [[0, 0, 1]] * (~above).sum(), atol=0.02)
    (tmp_path / "t.png").write_bytes(b"no picture")
    assert len(decode(str(tmp_path / "m.obj"), surface=50)) == 50  # the shape is still good


OFF = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n"


@pytest.mark.parametrize(
    ("text", "faces"),
    [
        ("OFF\n4 1 0\n" + OFF + "4 0 1 2 3\n", 2),
        ("OFF4 2 0\n" + OFF + "3 0 1 2\n3 0 2 3\n", 2),
        ("# hello\nOFF # plain\n\n4 2 0\n" + OFF + "3 0 1 2\n3 0 2 3\n", 2),
        ("off\n4 2 5\n".upper() + OFF + "3 0 1 2 255 0 0\n3 0 2 3 0 255 0\n", 2),
        ("COFF\n4 1 0\n" + OFF.replace("\n", " 255 0 0 255\n") + "4 0 1 2 3\n", 2),
        ("NOFF\n4 1 0\n" + OFF.replace("\n", " 0 0 1\n") + "4 0 1 2 3\n", 2),
    ],
)
def test_off_in_its_kinds(text, faces):
    found = decode(Blob(text.encode(), "x.off"), surface=1000)
    np.testing.assert_allclose(found.points.min(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(found.points.max(axis=0), (1, 1, 0), atol=0.05)
    np.testing.assert_allclose(np.abs(found.normals), [[0, 0, 1]] * 1000, atol=1e-6)
    if "255 0 0 255" in text:
        np.testing.assert_allclose(found.colors, [[1, 0, 0]] * 1000, atol=1e-6)
    elif "0 255 0" in text:
        below = found.points[:, 1] < found.points[:, 0]
        assert (found.colors[below] == (1, 0, 0)).all()
        assert (found.colors[~below] == (0, 1, 0)).all()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("OFF\n4 1 0\n" + OFF, "truncated"),
        ("OFF\n4 1 0\n0 0 0\n", "truncated"),
        ("OFF\n4 1 0\n" + OFF + "4 0 1 2 9\n", "a face names a vertex that is not there"),
        ("OFF\n400000000 1 0\n" + OFF, "do not fit into"),
        ("OFF\nfour 1 0\n", "its counts are"),
        ("OFF\n0 0 0\n", "holds 0 points"),
        ("OFF BINARY\n4 1 0\n", "not an OFF mesh of the plain kind"),
    ],
)
def test_damaged_off(text, reason):
    with pytest.raises(BadSample, match=f"x.off: .*{reason}"):
        decode(Blob(text.encode(), "x.off"))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("suffix", [".obj", ".stl", ".glb", ".gltf"])
def test_damaged_meshes_are_named(tmp_path, suffix, backend):
    path = tmp_path / f"box{suffix}"
    good = b"{}" if suffix == ".gltf" else box().export(file_type=suffix[1:])
    data = good.encode() if isinstance(good, str) else good
    for spoilt in (b"no mesh at all", bytes(200), data[:60], data[:20] + b"\xff" * 40 + data[60:]):
        path.write_bytes(spoilt)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                assert np.isfinite(decode(str(path), backend=backend).points).all()
            except BadSample as error:
                said = error.reason
            else:
                continue
        assert path.name in said


def test_sampling_a_surface():
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]], float)
    one = sample_surface(Mesh(corners, np.array([[0, 1, 2], [0, 0, 1]])), 2000)
    assert (one.points[:, :2].sum(axis=1) <= 1 + 1e-9).all()
    assert (one.points >= 0).all()
    np.testing.assert_allclose(one.points.mean(axis=0), (1 / 3, 1 / 3, 0), atol=0.005)
    np.testing.assert_allclose((one.points[:, 0] > 0.5).mean(), 0.25, atol=0.01)
    again = sample_surface(Mesh(corners, np.array([[0, 1, 2], [0, 0, 1]])), 2000)
    assert np.array_equal(one.points, again.points)
    without_area = sample_surface(Mesh(corners, np.array([[0, 0, 1]])), 2000)
    assert len(without_area) == 4
    with pytest.raises(BadSample, match="a face names a vertex that is not there"):
        sample_surface(Mesh(corners, np.array([[0, 1, 9]])), 10)


def test_faces_with_corners_that_are_not_finite_are_left_out(tmp_path):
    shape = box()
    shape.vertices[0] = np.nan
    text = "OFF\n8 12 0\n" + "\n".join(" ".join(map(str, v)) for v in shape.vertices)
    text += "\n" + "\n".join("3 " + " ".join(map(str, f)) for f in shape.faces)
    with pytest.warns(PointWarning, match="faces have corners that are not finite"):
        found = decode(Blob(text.encode(), "x.off"))
    assert np.isfinite(found.points).all()
    assert len(found) == 10_000


def test_polygons_become_fans():
    corners = np.array([0, 1, 2, 3, 7, 8, 9, 5, 6])
    assert fan(corners, np.array([4, 3, 2])).tolist() == [[0, 1, 2], [0, 2, 3], [7, 8, 9]]


def test_a_glb_is_json_with_a_header(tmp_path):
    """The fixture is a real glb: its magic is what tells the kind, not the name."""
    data = box().export(file_type="glb")
    length = int.from_bytes(data[12:16], "little")
    assert json.loads(data[20 : 20 + length])["asset"]["version"] == "2.0"
    check_box(decode(data, surface=4000).points)
