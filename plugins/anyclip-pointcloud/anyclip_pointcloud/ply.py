"""Read .ply: points in numpy when they are records of one size, everything else by plyfile."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from anyclip_pointcloud.cloud import Cloud
from anyclip_pointcloud.columns import named_cloud
from anyclip_pointcloud.mesh import Mesh, fan, uses_most_vertices
from anyclip_pointcloud.sources import PointFile, record_blocks, stride
from anyclip_pointcloud.text import read_table

_TYPES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4"}
_TYPES |= {"double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"}
_TYPES |= {"float32": "f4", "float64": "f8"}
_HEADER = 1 << 16


@dataclass(frozen=True)
class _Element:
    """One block of the file. fields: (name, type), a list of them has the type None."""

    name: str
    count: int
    fields: tuple[tuple[str, str | None], ...]

    def dtype(self, order: str) -> np.dtype:
        return np.dtype([(name, "u1" if kind is None else f"{order}{kind}") for name, kind in self.fields])

    @property
    def plain(self) -> bool:
        return all(kind is not None for _, kind in self.fields)


def read_ply(file: PointFile, most: int) -> Cloud | Mesh:
    """Points, or a mesh where faces cover at least half of the vertices. Raises BadSample."""
    order, elements, offset = _header(file)
    by_name = {element.name: element for element in elements}
    vertex = by_name.get("vertex")
    if vertex is None:
        raise file.error(f"has no vertices but {', '.join(by_name) or 'nothing'}")
    if not vertex.count:
        raise file.error("holds 0 points")
    _check_size(file, elements, offset, ascii_=not order)
    faces = by_name.get("face")
    if vertex is elements[0] and vertex.plain and not (faces and faces.count):
        blocks = _blocks(file, vertex, order, offset, most)
        kept = -(-vertex.count // stride(vertex.count, most))
        return named_cloud(blocks, vertex.dtype(order or "<"), kept, file.name)
    return _by_plyfile(file, most, triangles=bool(order))


def _header(file: PointFile) -> tuple[str, list[_Element], int]:
    """(byte order, "" for ascii; elements; where the data begins)."""
    head = file.read(0, _HEADER)
    end = head.find(b"end_header")
    offset = head.find(b"\n", end) + 1
    if end < 0 or not offset:
        raise file.error("damaged: the ply header has no end")
    order, found = None, []
    for line in head[:end].decode("latin-1").splitlines():
        words = line.split()
        try:
            if words[:1] == ["format"]:
                order = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}[words[1]]
            elif words[:1] == ["element"]:
                found.append((words[1], int(words[2]), []))
            elif words[:1] == ["property"]:
                kind = None if words[1] == "list" else _TYPES[words[1]]
                found[-1][2].append((words[-1], kind))
        except (KeyError, IndexError, ValueError):
            raise file.error(f"damaged: the ply header says {line.strip()[:60]!r}") from None
    if order is None or any(count < 0 for _, count, _ in found):
        raise file.error("damaged: the ply header names no format" if order is None else "damaged: a negative count")
    for name, _, fields in found:
        if len({field for field, _ in fields}) < len(fields):
            raise file.error(f"damaged: the ply header names a property of {name} twice")
    return order, [_Element(name, count, tuple(fields)) for name, count, fields in found], offset


def _check_size(file: PointFile, elements: list[_Element], offset: int, *, ascii_: bool) -> None:
    """Refuse counts that cannot be there before anything is allocated."""
    least = [2 * len(e.fields) if ascii_ else e.dtype("<").itemsize for e in elements]
    needed = sum(e.count * size for e, size in zip(elements, least)) - ascii_  # the last line may have no end
    if needed > file.size - offset:
        said = ", ".join(f"{e.count} of {e.name}" for e in elements)
        raise file.error(f"truncated: the header says {said}; {file.size - offset} bytes follow, not {needed}")


def _blocks(file: PointFile, vertex: _Element, order: str, offset: int, most: int) -> Iterator[np.ndarray]:
    if order:
        yield from record_blocks(file, vertex.dtype(order), vertex.count, offset, most)
        return
    table = read_table(file, offset, most, columns=len(vertex.fields), rows=vertex.count)
    records = np.empty(len(table), vertex.dtype("<"))
    for i, (name, _) in enumerate(vertex.fields):
        records[name] = table[:, i]
    yield records


def _by_plyfile(file: PointFile, most: int, *, triangles: bool) -> Cloud | Mesh:
    import plyfile

    # one length of all lists is read at once, hundreds of times faster; other files are read face by face
    for known in ({"face": {"vertex_indices": 3, "vertex_index": 3}},) * triangles + ({},):
        try:
            data = plyfile.PlyData.read(io.BytesIO(file.read()), known_list_len=known)
            break
        except plyfile.PlyParseError as error:
            if not known:
                raise file.error(f"truncated or damaged: {error}") from None
        except (ValueError, OverflowError, MemoryError) as error:
            raise file.error(f"damaged: {error}") from None
    vertices = np.asarray(data["vertex"].data)  # type: ignore[possibly-undefined]
    cloud = named_cloud([vertices], vertices.dtype, len(vertices), file.name)
    faces = _faces(data["face"].data) if "face" in data else np.zeros((0, 3), np.int64)
    if uses_most_vertices(faces, len(cloud)):
        return Mesh(cloud.points, faces, vertex_colors=cloud.colors, name=file.name)
    return cloud[:: stride(len(cloud), most)]


def _faces(data: np.ndarray) -> np.ndarray:
    """Triangles [F, 3] of the list property of a face element."""
    name = next((n for n in ("vertex_indices", "vertex_index") if n in (data.dtype.names or ())), None)
    if name is None or not len(data):
        return np.zeros((0, 3), np.int64)
    if data.dtype[name].shape == (3,):
        return data[name].astype(np.int64)
    sizes = np.array([len(face) for face in data[name]], np.int64)
    return fan(np.concatenate(data[name]).astype(np.int64), sizes)
