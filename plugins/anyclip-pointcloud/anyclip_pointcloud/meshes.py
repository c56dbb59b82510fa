"""Read obj, stl, glb and gltf meshes with open3d or trimesh, whichever is there and knows what is asked for."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import tempfile
from collections.abc import Iterator

import numpy as np

from anyclip.errors import UserError
from anyclip_pointcloud.cloud import warn
from anyclip_pointcloud.mesh import Mesh
from anyclip_pointcloud.scenes import read_scene
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
    mesh = _by_open3d(file) if require_backend(backend) == "open3d" else read_scene(file, colors=colors)
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
