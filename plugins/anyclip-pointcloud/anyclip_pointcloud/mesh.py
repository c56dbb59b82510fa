"""Meshes: triangles, and points evenly spread over their surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anyclip.errors import BadSample
from anyclip_pointcloud.cloud import Cloud
from anyclip_pointcloud.texture import Texture

_R2 = (0.7548776662466927, 0.5698402909980532)  # a sequence that fills the unit square evenly
_BLOCK = 1 << 20  # faces at a time


@dataclass(frozen=True)
class Mesh:
    """vertices [V, 3]; faces int [F, 3]; colors of vertices [V, 3] or of faces [F, 3] in 0..1, or None.

    uv [V, 2] of the vertices and textures: the colour of faces that have one comes from there.
    """

    vertices: np.ndarray
    faces: np.ndarray
    vertex_colors: np.ndarray | None = None
    face_colors: np.ndarray | None = None
    name: str = "mesh"
    uv: np.ndarray | None = None
    textures: tuple[Texture, ...] = ()


def sample_surface(mesh: Mesh, count: int) -> Cloud:
    """`count` points of the surface with colours and face normals; the same mesh gives the same points.

    Each face gets points in proportion to its area (systematic sampling: the rounding is spread over neighbouring
    faces), placed by a low-discrepancy sequence in uniform barycentric coordinates (Osada et al. 2002, section 4.1).
    Not open3d's sampling, so that a file has one embedding with and without it. A mesh without area gives its vertices.
    """
    check_mesh(mesh)
    edges = np.cumsum(_doubled_areas(mesh))
    if not len(edges) or not edges[-1] > 0:
        return Cloud(mesh.vertices, mesh.vertex_colors, None, mesh.name)
    steps = (np.arange(count) + 0.5) * (edges[-1] / count)
    face = np.minimum(np.searchsorted(edges, steps, side="right"), len(edges) - 1)
    first, second = ((0.5 + np.arange(count) * step) % 1.0 for step in _R2)
    root = np.sqrt(first)
    weights = np.stack([1 - root, root * (1 - second), root * second], axis=1)  # [count, 3]
    corners = mesh.vertices[mesh.faces[face]].astype(np.float64)
    points = np.einsum("nk,nkc->nc", weights, corners)
    cross = _cross(corners)
    normals = cross / np.linalg.norm(cross, axis=1, keepdims=True).clip(np.finfo(np.float64).tiny)
    return Cloud(
        points if mesh.vertices.dtype == np.float64 else points.astype(np.float32),
        _colors(mesh, face, weights),
        normals.astype(np.float32),
        mesh.name,
    )


def _colors(mesh: Mesh, face: np.ndarray, weights: np.ndarray) -> np.ndarray | None:
    """Colours [N, 3] float32 of points in faces [N] with barycentric weights [N, 3]."""
    colors = None if mesh.face_colors is None else mesh.face_colors[face].astype(np.float32)
    if mesh.vertex_colors is not None:
        colors = np.einsum("nk,nkc->nc", weights, mesh.vertex_colors[mesh.faces[face]]).astype(np.float32)
    if colors is None and mesh.textures:
        colors = np.ones((len(face), 3), np.float32)
    for texture in mesh.textures if mesh.uv is not None else ():
        rows = np.flatnonzero((face >= texture.first) & (face < texture.last))
        corners = mesh.uv[mesh.faces[face[rows]]]  # type: ignore[index]
        colors[rows] = texture.colors(np.einsum("nk,nkc->nc", weights[rows], corners))  # type: ignore[index]
    return colors


def _cross(corners: np.ndarray) -> np.ndarray:
    """[F, 3, 3] -> [F, 3]: along the faces' normals, twice their areas long."""
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def _doubled_areas(mesh: Mesh) -> np.ndarray:
    """[F]; 0 for faces with a corner that is not finite."""
    parts = [mesh.faces[i : i + _BLOCK] for i in range(0, len(mesh.faces), _BLOCK)]
    with np.errstate(invalid="ignore", over="ignore"):
        areas = [np.linalg.norm(_cross(mesh.vertices[part].astype(np.float64)), axis=1) for part in parts]
    found = np.concatenate([np.zeros(0), *areas])
    found[~np.isfinite(found)] = 0.0
    return found


def check_mesh(mesh: Mesh) -> None:
    """Raises BadSample when faces name vertices that are not there."""
    if len(mesh.faces) and (mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices)):
        raise BadSample(f"{mesh.name}: damaged: a face names a vertex that is not there ({len(mesh.vertices)} are)")


def uses_most_vertices(faces: np.ndarray, count: int) -> bool:
    """Whether the faces cover at least half of the vertices: a mesh, not points with a few faces among them."""
    return len(faces) > 0 and 2 * len(np.unique(faces)) >= count


def fan(corners: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Polygons (flat corner indices, corners per polygon) -> triangles [F, 3] that share its first corner."""
    starts = np.cumsum(sizes) - sizes
    triangles = np.maximum(sizes - 2, 0)
    owner = np.repeat(np.arange(len(sizes)), triangles)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(triangles) - triangles, triangles)
    first = starts[owner]
    return corners[np.stack([first, first + within + 1, first + within + 2], axis=1)].astype(np.int64)
