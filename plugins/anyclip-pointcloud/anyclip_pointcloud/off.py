"""Read .off meshes (and COFF, NOFF), also with counts fused to the first word as in ModelNet."""

from __future__ import annotations

import re

import numpy as np

from anyclip_pointcloud.columns import scaled_colors
from anyclip_pointcloud.mesh import Mesh, fan
from anyclip_pointcloud.sources import PointFile
from anyclip_pointcloud.text import parse_numbers

_FIRST = re.compile(rb"\s*(ST)?(C)?(N)?(4)?(n)?OFF")
_BEGIN = re.compile(rb"(\s*#[^\n]*\n)*" + _FIRST.pattern)


def is_off(head: bytes) -> bool:
    """Whether a file that begins so is an OFF mesh."""
    return _BEGIN.match(head) is not None


def read_off(file: PointFile) -> Mesh:
    """Polygons become triangles; colours of vertices or faces are read. Raises BadSample."""
    text = file.read()
    if b"#" in text:
        text = re.sub(rb"#[^\n]*", b"", text)
    first = _FIRST.match(text)
    if first is None or first[1] or first[4] or first[5] or text[first.end() :].lstrip()[:6] == b"BINARY":
        raise file.error("not an OFF mesh of the plain kind (OFF, COFF, NOFF)")
    lines = text[first.end() :].lstrip()
    counts, _, body = lines.partition(b"\n")
    vertices, faces = _counts(counts, file)
    numbers = parse_numbers(body, file)
    width = _vertex_columns(body, 3 + 3 * bool(first[3]))
    if len(numbers) < vertices * width + 4 * faces - 2 * faces:
        raise file.error(
            f"truncated: {vertices} vertices and {faces} faces are announced, {len(numbers)} numbers follow"
        )
    table = numbers[: vertices * width].reshape(vertices, width)
    begin = 3 + 3 * bool(first[3])
    colors = _colors(table[:, begin : begin + 3]) if width - begin >= 3 else None
    triangles, face_colors = _faces(numbers[vertices * width :], faces, body, vertices, file)
    return Mesh(table[:, :3], triangles, vertex_colors=colors, face_colors=face_colors, name=file.name)


def _counts(line: bytes, file: PointFile) -> tuple[int, int]:
    words = line.split()
    try:
        vertices, faces = int(words[0]), int(words[1])
    except (ValueError, IndexError):
        raise file.error(f"damaged: its counts are {line[:40].decode('latin-1')!r}") from None
    if vertices <= 0 or faces < 0:
        raise file.error(f"holds {vertices} points and {faces} faces")
    if 2 * (3 * vertices + 3 * faces) > file.size + 2:
        raise file.error(f"truncated: {vertices} vertices and {faces} faces do not fit into {file.size} bytes")
    return vertices, faces


def _vertex_columns(body: bytes, least: int) -> int:
    """Numbers on the first vertex's line: 3, and normals and colours where they are."""
    line = body.lstrip().split(b"\n", 1)[0].split()
    return len(line) if least <= len(line) <= 10 else least


def _colors(columns: np.ndarray) -> np.ndarray:
    return scaled_colors(columns)


def _faces(
    numbers: np.ndarray, count: int, body: bytes, vertices: int, file: PointFile
) -> tuple[np.ndarray, np.ndarray | None]:
    """(triangles [F, 3], colours of them or None). Plain triangles are read at once, other faces line by line."""
    if len(numbers) >= 4 * count and (numbers[: 4 * count : 4] == 3).all() and len(numbers) == 4 * count:
        return numbers.reshape(count, 4)[:, 1:].astype(np.int64), None
    corners, sizes, colors = [], [], []
    lines = [line for line in body.split(b"\n") if line.strip()][vertices : vertices + count]
    for line in lines:
        words = line.split()
        try:
            size = int(words[0])
            corners.append([int(word) for word in words[1 : size + 1]])
        except ValueError:
            raise file.error(f"damaged: a face is {line[:40].decode('latin-1')!r}") from None
        if size < 1 or len(corners[-1]) < size:
            raise file.error(f"truncated: a face of {size} corners has {len(corners[-1])}")
        sizes.append(size)
        colors.append([float(word) for word in words[size + 1 : size + 4]])
    if len(lines) < count:
        raise file.error(f"truncated: {count} faces are announced, {len(lines)} are there")
    if not count:
        return np.zeros((0, 3), np.int64), None
    lengths = np.array(sizes)
    triangles = fan(np.concatenate(corners), lengths)
    if any(len(color) != 3 for color in colors):
        return triangles, None
    return triangles, _colors(np.repeat(np.array(colors), np.maximum(lengths - 2, 0), axis=0))
