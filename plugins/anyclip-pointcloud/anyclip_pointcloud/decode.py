"""A value (path, URL, bytes, array, mapping of arrays) -> a cloud. The content says the kind, then the suffix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from anyclip.errors import BadSample, UserError
from anyclip_pointcloud.arrays import array_cloud, mapping_cloud, read_h5, read_npy, read_npz
from anyclip_pointcloud.cloud import Cloud, warn
from anyclip_pointcloud.las import read_las
from anyclip_pointcloud.mesh import Mesh, sample_surface
from anyclip_pointcloud.meshes import MESH_SUFFIXES, read_mesh
from anyclip_pointcloud.off import is_off, read_off
from anyclip_pointcloud.pcd import read_pcd
from anyclip_pointcloud.ply import read_ply
from anyclip_pointcloud.sources import PointFile, open_file
from anyclip_pointcloud.text import read_text
from anyclip_pointcloud.texture import Texture

_MAGIC = {b"ply": "ply", b"\x93NUMPY": "npy", b"PK\x03\x04": "npz", b"LASF": "las", b"glTF": ".glb"}
_MAGIC |= {b"\x89HDF\r\n\x1a\n": "h5", b"# .PCD": "pcd", b"VERSION": "pcd"}


def decode(
    value: Any, *, surface: int = 10_000, most: int = 1_000_000, colors: bool = True, backend: str = "auto"
) -> Cloud:
    """The cloud of a value, with finite coordinates. Raises BadSample(reason).

    value: path (`FILE#ROW`: one of several clouds of a file), URL that fsspec opens, bytes, `Blob`, {"bytes": ...,
        "path": ...}, `Cloud`, array or tensor [N, 3 and more], {"points": ..., "colors": ..., "normals": ...}.
    surface: points that a mesh's surface is sampled at. most: larger clouds are thinned evenly on reading.
    colors: whether colours are wanted; a mesh may then be read another, slower way. backend: see `read_mesh`.
    """
    if isinstance(value, Cloud):
        return _finite(value)
    file = open_file(value)
    if file is not None:
        found = read_file(file, most=most, colors=colors, backend=backend)
    elif isinstance(value, Mapping):
        found = mapping_cloud(value)
    elif isinstance(value, (np.ndarray, list, tuple)) or hasattr(value, "detach"):
        found = array_cloud(_plain(value))
    else:
        raise BadSample(f"a point cloud is a path, bytes, an array or a mapping of arrays, not {type(value).__name__}")
    if isinstance(found, Mesh):
        found = sample_surface(_finite_mesh(found), surface)
    return _finite(found)


def _plain(value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        return value
    try:
        return np.asarray(value)
    except ValueError:
        raise BadSample("a list of points whose rows have different lengths") from None


def read_file(file: PointFile, *, most: int, colors: bool = True, backend: str = "auto") -> Cloud | Mesh:
    """The cloud or mesh of a file, as it stands there. Raises BadSample."""
    try:
        return _read_file(file, most, colors, backend)
    except (BadSample, UserError):
        raise
    # h5py, zipfile and numpy raise a dozen kinds of errors on damaged files
    except Exception as error:
        raise file.error(f"damaged: {str(error)[:200] or type(error).__name__}") from error


def _read_file(file: PointFile, most: int, colors: bool, backend: str) -> Cloud | Mesh:
    kind = kind_of(file)
    if kind in MESH_SUFFIXES:
        file.suffix = kind
        return read_mesh(file, colors=colors, backend=backend)
    if kind == "off":
        return read_off(file)
    readers = {"ply": read_ply, "pcd": read_pcd, "npy": read_npy, "npz": read_npz, "h5": read_h5, "las": read_las}
    return readers.get(kind, read_text)(file, most)


def kind_of(file: PointFile) -> str:
    """`ply`, `pcd`, `off`, `npy`, `npz`, `h5`, `las`, a suffix of a mesh, or `text`."""
    head = file.read(0, 256)
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if file.suffix == ".off" or is_off(head):
        return "off"
    if file.suffix in MESH_SUFFIXES:
        return file.suffix
    if file.suffix == ".pcd" and head.lstrip().startswith(b"#"):
        return "pcd"
    if file.suffix in (".ply", ".pcd", ".las", ".laz", ".npy", ".npz", ".h5", ".hdf5"):
        raise file.error(f"not a {file.suffix[1:]} file: it begins with {head[:16]!r}")
    return "text"


def _finite(cloud: Cloud) -> Cloud:
    """The cloud less points that are not finite, with a warning; normals that are not become 0."""
    if not len(cloud):
        raise BadSample(f"{cloud.name}: holds 0 points")
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(cloud.points.sum())  # without a mask of all points
    if not finite:
        good = np.isfinite(cloud.points)
        kept = np.asarray(good.all(axis=1))
        count = len(cloud) - int(kept.sum())
        if count == len(cloud):
            raise BadSample(f"{cloud.name}: none of its {count} points is finite")
        if count:
            warn(f"{cloud.name}: {count} of {len(cloud)} points are not finite and are left out")
            cloud = cloud[kept]
    if cloud.normals is None:
        return cloud
    return replace(cloud, normals=np.nan_to_num(cloud.normals, nan=0.0, posinf=0.0, neginf=0.0))


def _finite_mesh(mesh: Mesh) -> Mesh:
    """The mesh less faces with a corner that is not finite, with a warning."""
    good = np.asarray(np.isfinite(mesh.vertices).all(axis=1))
    if good.all() or not len(mesh.faces):
        return mesh
    inside = (mesh.faces >= 0) & (mesh.faces < len(good))
    kept = np.asarray(good[np.where(inside, mesh.faces, 0)].all(axis=1) | ~inside.all(axis=1))
    warn(f"{mesh.name}: {len(kept) - int(kept.sum())} faces have corners that are not finite and are left out")
    colors = None if mesh.face_colors is None else mesh.face_colors[kept]
    places = np.concatenate([[0], np.cumsum(kept)])
    textures = tuple(Texture(int(places[t.first]), int(places[t.last]), t.pixels) for t in mesh.textures)
    return replace(mesh, faces=mesh.faces[kept], face_colors=colors, textures=textures)
