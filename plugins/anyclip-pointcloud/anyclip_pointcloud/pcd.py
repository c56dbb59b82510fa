"""Read .pcd (Point Cloud Library): ascii, binary, binary_compressed."""

from __future__ import annotations

import numpy as np

from anyclip_pointcloud.cloud import Cloud
from anyclip_pointcloud.columns import named_cloud
from anyclip_pointcloud.sources import PointFile, record_blocks, stride
from anyclip_pointcloud.text import read_table

_KINDS = {"F": "f", "I": "i", "U": "u"}
_HEADER = 1 << 14


def read_pcd(file: PointFile, most: int) -> Cloud:
    """Points with colours (`rgb`, `rgba`) and normals. Raises BadSample."""
    head = file.read(0, _HEADER)
    said, offset = _header(head, file)
    try:
        names, kinds = said["FIELDS"], said["TYPE"]
        sizes = [int(x) for x in said["SIZE"]]
        counts = [int(x) for x in said.get("COUNT", ["1"] * len(names))]
        points = int(said["POINTS"][0]) if "POINTS" in said else int(said["WIDTH"][0]) * int(said["HEIGHT"][0])
        places = [f"{name}#{i}" if name == "_" or name in names[:i] else name for i, name in enumerate(names)]
        dtype = np.dtype(
            [
                (n, f"<{_KINDS[k]}{s}", (c,) if c != 1 else ())
                for n, k, s, c in zip(places, kinds, sizes, counts, strict=True)
            ]
        )
        encoding = said["DATA"][0]
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise file.error(f"damaged: the pcd header lacks or spoils {error}") from None
    if points <= 0:
        raise file.error(f"holds {points} points")
    if encoding == "ascii":
        table = read_table(file, offset, most, columns=sum(counts), rows=points)
        blocks = [_from_table(table, dtype, counts)]
    elif encoding == "binary":
        blocks = record_blocks(file, dtype, points, offset, most)
    elif encoding == "binary_compressed":
        blocks = [_compressed(file, dtype, points, offset)[:: stride(points, most)]]
    else:
        raise file.error(f"its DATA is {encoding}; ascii, binary and binary_compressed are known")
    return named_cloud(blocks, dtype, -(-points // stride(points, most)), file.name)


def _header(head: bytes, file: PointFile) -> tuple[dict[str, list[str]], int]:
    said: dict[str, list[str]] = {}
    offset = 0
    for line in head.splitlines(keepends=True):
        offset += len(line)
        words = line.decode("latin-1").split()
        if words and not words[0].startswith("#"):
            said[words[0]] = words[1:]
            if words[0] == "DATA":
                return said, offset
    raise file.error("damaged: the pcd header has no DATA line")


def _from_table(table: np.ndarray, dtype: np.dtype, counts: list[int]) -> np.ndarray:
    records = np.empty(len(table), dtype)
    column = 0
    for name, count in zip(dtype.names or (), counts):
        values = table[:, column : column + count]
        records[name] = values if count != 1 else values[:, 0]
        column += count
    return records


def _compressed(file: PointFile, dtype: np.dtype, points: int, offset: int) -> np.ndarray:
    """Fields one after the other, packed with LZF; two counts of bytes stand before."""
    packed, whole = (int(x) for x in np.frombuffer(file.read(offset, 8).ljust(8, b"\0"), "<u4"))
    if whole != points * dtype.itemsize:
        raise file.error(f"damaged: {points} points are {points * dtype.itemsize} bytes, the file says {whole}")
    if packed > file.size - offset - 8 or whole > 300 * packed:  # 264 bytes of one are the most that LZF can give
        raise file.error(f"truncated: {packed} packed bytes are announced, {file.size - offset - 8} are there")
    data = np.frombuffer(_unpack(file.read(offset + 8, packed), whole, file), np.uint8)
    records = np.empty(points, dtype)
    begin = 0
    for name in dtype.names or ():
        size = dtype[name].itemsize * points
        field = data[begin : begin + size].view(dtype[name].base).reshape(points, *dtype[name].shape)
        records[name] = field
        begin += size
    return records


def _unpack(packed: bytes, whole: int, file: PointFile) -> bytes:
    """LZF (Marc Lehmann's LibLZF format): runs of literals, and copies of what stands up to 8192 bytes back."""
    out = bytearray()
    at = 0
    try:
        while at < len(packed):
            control = packed[at]
            at += 1
            if control < 32:
                out += packed[at : at + control + 1]
                at += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += packed[at]
                at += 1
            back = ((control & 31) << 8) + packed[at] + 1
            at += 1
            length += 2
            begin = len(out) - back
            if begin < 0:
                raise IndexError
            part = out[begin : begin + length]
            out += (part * (length // len(part) + 1))[:length]  # a copy may reach into what it writes
    except IndexError:
        raise file.error("damaged: the packed points cannot be unpacked") from None
    if len(out) != whole:
        raise file.error(f"damaged: {len(out)} bytes come out where {whole} belong")
    return bytes(out)
