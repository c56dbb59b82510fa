"""Read mesh files with trimesh: scenes of several parts, with the colours of corners, materials and textures."""

from __future__ import annotations

from typing import Any

import numpy as np

from anyclip_pointcloud.cloud import warn
from anyclip_pointcloud.mesh import Mesh
from anyclip_pointcloud.sources import PointFile
from anyclip_pointcloud.texture import Texture


def read_scene(file: PointFile, *, colors: bool = True) -> Mesh:
    """All parts of the scene, in its place, as one mesh. Raises BadSample."""
    import trimesh

    with file.open() as stream:
        try:
            resolver = trimesh.resolvers.FilePathResolver(file.path) if file.path else None
            scene = trimesh.load_scene(stream, file_type=file.suffix[1:], resolver=resolver, process=False)
            parts = [p for p in scene.dump() if isinstance(p, (trimesh.Trimesh, trimesh.PointCloud))]
        # its readers raise whatever damaged bytes lead to
        except Exception as error:
            raise file.error(f"damaged mesh: {str(error)[:200] or type(error).__name__}") from None
    vertices = [np.zeros((0, 3)), *(np.asarray(part.vertices, dtype=np.float64) for part in parts)]
    faces = [np.asarray(getattr(part, "faces", np.zeros((0, 3))), dtype=np.int64).reshape(-1, 3) for part in parts]
    starts = np.cumsum([0, *map(len, vertices[1:])])
    joined = [np.zeros((0, 3), np.int64), *(f + start for f, start in zip(faces, starts))]
    paint = _paint(parts, faces, file) if colors else {}
    return Mesh(np.concatenate(vertices), np.concatenate(joined), name=file.name, **paint)


def _paint(parts: list[Any], faces: list[np.ndarray], file: PointFile) -> dict[str, Any]:
    """Colours, uv and textures of the whole scene; parts without any are white beside others."""
    corner_colors, uvs, textures, first, coloured = [], [], [], 0, False
    for part, part_faces in zip(parts, faces):
        count, last = len(part.vertices), first + len(part_faces)
        try:
            found, uv, pixels = _part_paint(part)
        # a texture that is missing or damaged: the shape is still good
        except Exception as error:
            warn(f"{file.name}: colours of a part cannot be read and are left out: {str(error)[:100]}")
            found = uv = pixels = None
        coloured = coloured or found is not None or pixels is not None
        corner_colors.append(np.ones((count, 3), np.float32) if found is None else found)
        uvs.append(np.zeros((count, 2)) if uv is None else uv)
        if pixels is not None:
            textures.append(Texture(first, last, pixels))
        first = last
    if not coloured:
        return {}
    return {"vertex_colors": np.concatenate(corner_colors), "uv": np.concatenate(uvs), "textures": tuple(textures)}


def _part_paint(part: Any) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """(colours of the corners [V, 3] in 0..1, uv [V, 2], pixels of the texture), each None where there is none."""
    count = len(part.vertices)
    visual = getattr(part, "visual", None)
    if visual is None:
        return _unit(getattr(part, "colors", None), count), None, None  # a point cloud
    if visual.kind == "vertex" or visual.kind == "face":
        return _unit(visual.vertex_colors, count), None, None
    material = getattr(visual, "material", None)
    if visual.kind != "texture" or material is None:
        return None, None, None
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    if image is not None and visual.uv is not None and len(visual.uv) == count:
        return None, np.asarray(visual.uv, dtype=np.float64)[:, :2], np.asarray(image.convert("RGB"))
    color = material.baseColorFactor if hasattr(material, "baseColorFactor") else getattr(material, "diffuse", None)
    return (None if color is None else _unit(np.tile(np.asarray(color), (count, 1)), count)), None, None


def _unit(colors: Any, count: int) -> np.ndarray | None:
    """RGB(A) bytes, or floats in 0..1, one per corner -> float32 [V, 3]."""
    found = np.asarray(np.zeros(0) if colors is None else colors)
    if found.ndim != 2 or len(found) != count or found[:1].size < 3:
        return None
    return found[:, :3].astype(np.float32) / np.float32(255 if found.dtype.kind in "iu" else 1)
