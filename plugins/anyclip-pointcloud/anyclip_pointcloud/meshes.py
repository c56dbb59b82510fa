"""Read obj, stl, glb and gltf meshes with open3d or trimesh, whichever is there and knows what is asked for."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from anyclip.errors import UserError
from anyclip_pointcloud.cloud import warn
from anyclip_pointcloud.mesh import Mesh
from anyclip_pointcloud.sources import PointFile

APT = "apt-get install -y libusb-1.0-0 libgl1 libx11-6 libgomp1"
MESH_SUFFIXES = (".obj", ".stl", ".glb", ".gltf")


@functools.cache
def open3d_problem() -> str | None:
    """Why open3d cannot be used, or None. It is imported here, once, when a mesh first asks for it."""
    if importlib.util.find_spec("open3d") is None:
        return "open3d is not installed"
    try:
        importlib.import_module("open3d")
    except (ImportError, OSError) as error:  # a library of the system is missing
        return f"open3d is installed but does not load: {str(error).splitlines()[0][:120]}"
    return None


def require_backend(name: str) -> str:
    """The name, when that reader of meshes works here. Raises UserError with the command that mends it."""
    problem = open3d_problem() if name == "open3d" else None
    if problem:
        missing = problem.endswith("not installed")
        raise UserError(
            f"backend: {problem}.",
            hint="Use auto or trimesh, or install what it needs.",
            next="pip install 'anyclip-pointcloud[open3d]'" if missing else APT,
        )
    return name


@functools.cache
def _tell_open3d(problem: str) -> None:
    if not problem.endswith("not installed"):
        warn(f"{problem}; meshes are read with trimesh. To mend it: {APT}")


def read_mesh(file: PointFile, *, colors: bool, backend: str = "auto") -> Mesh:
    """Triangles, and colours of their corners where the file has them. Raises BadSample.

    `auto`: open3d; trimesh where open3d does not load, and for colours, which only trimesh takes from materials.
    """
    if backend == "auto":
        backend = "trimesh" if colors and file.suffix != ".stl" else "open3d"
        problem = open3d_problem() if backend == "open3d" else None
        if problem:
            _tell_open3d(problem)
            backend = "trimesh"
    mesh = _by_open3d(file) if require_backend(backend) == "open3d" else _by_trimesh(file)
    if not len(mesh.vertices):
        raise file.error("holds no points, or is damaged")
    return mesh


def _by_open3d(file: PointFile) -> Mesh:
    import open3d

    quiet = open3d.utility.VerbosityContextManager(open3d.utility.VerbosityLevel.Error)
    with on_disk(file) as path, quiet:
        try:
            mesh = open3d.io.read_triangle_mesh(path)  # type: ignore[arg-type]
        except (RuntimeError, ValueError) as error:
            raise file.error(f"damaged mesh: {error}") from None
    colors = np.asarray(mesh.vertex_colors, dtype=np.float32) if mesh.has_vertex_colors() else None
    return Mesh(np.array(mesh.vertices), np.array(mesh.triangles, dtype=np.int64), colors, name=file.name)


@contextlib.contextmanager
def on_disk(file: PointFile) -> Iterator[str]:
    """A path of the file; bytes are written to a temporary one."""
    if file.path is not None:
        yield file.path
        return
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"mesh{file.suffix}")
        with open(path, "wb") as stream:
            stream.write(file.data or b"")
        yield path


def _by_trimesh(file: PointFile) -> Mesh:
    import trimesh

    with file.open() as stream:
        try:
            resolver = trimesh.resolvers.FilePathResolver(file.path) if file.path else None
            scene = trimesh.load_scene(stream, file_type=file.suffix[1:], resolver=resolver, process=False)
            parts = scene.dump()
        # its readers raise whatever damaged bytes lead to
        except Exception as error:
            raise file.error(f"damaged mesh: {str(error)[:200] or type(error).__name__}") from None
    return _joined([p for p in parts if isinstance(p, (trimesh.Trimesh, trimesh.PointCloud))], file)


def _joined(parts: list[Any], file: PointFile) -> Mesh:
    """The parts of a scene as one mesh; parts without colours are white beside coloured ones."""
    vertices, faces, colors, count = [], [], [], 0
    coloured = False
    for part in parts:
        part_faces = np.asarray(getattr(part, "faces", np.zeros((0, 3))), dtype=np.int64)
        vertices.append(np.asarray(part.vertices, dtype=np.float64))
        faces.append(part_faces + count)
        count += len(vertices[-1])
        found = _part_colors(part, file)
        coloured = coloured or found is not None
        colors.append(np.ones((len(vertices[-1]), 3), np.float32) if found is None else found)
    if not vertices:
        return Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64), name=file.name)
    return Mesh(
        np.concatenate(vertices), np.concatenate(faces), np.concatenate(colors) if coloured else None, name=file.name
    )


def _part_colors(part: Any, file: PointFile) -> np.ndarray | None:
    """Colours of the corners, from corner colours, materials or textures (at the corners), or None."""
    visual = part.visual if hasattr(part, "visual") else None
    try:
        if visual is None:
            given = np.asarray(part.colors)  # a point cloud
        elif visual.kind is None:
            return None
        else:
            given = np.asarray((visual.to_color() if visual.kind == "texture" else visual).vertex_colors)
    # a texture that is missing or damaged: the shape is still good
    except Exception as error:
        warn(f"{file.name}: its colours cannot be read and are left out: {str(error)[:100]}")
        return None
    if given.ndim != 2 or len(given) != len(part.vertices):
        return None
    return given[:, :3].astype(np.float32) / np.float32(255)
