"""Columns of numbers -> points, colours, normals: named fields of ply and pcd, unnamed ones of tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from anyclip.errors import BadSample
from anyclip_pointcloud.cloud import Cloud, warn

_XYZ = (("x", "y", "z"), ("X", "Y", "Z"))
_RGB = (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue"))
_PACKED = ("rgb", "rgba")
_NORMALS = (("nx", "ny", "nz"), ("normal_x", "normal_y", "normal_z"))


def named_cloud(blocks: Iterable[np.ndarray], dtype: np.dtype, count: int, name: str) -> Cloud:
    """Structured arrays of a type, `count` records together -> a cloud. Raises BadSample when x, y, z are not there.

    A block is copied from before the next is asked for: they may share a buffer. `rgb` and `rgba` are packed bytes.
    """
    fields = {kind: _fields(dtype, choices) for kind, choices in (("xyz", _XYZ), ("rgb", _RGB), ("normals", _NORMALS))}
    if fields["xyz"] is None:
        raise BadSample(f"{name}: has no x, y, z but {', '.join(dtype.names or ()) or 'nothing'}")
    packed = next((n for n in _PACKED if n in (dtype.names or ()) and dtype[n].itemsize == 4), None)
    packed = packed if fields["rgb"] is None else None
    found = {kind: np.empty((count, 3), _kind(dtype, chosen, kind)) for kind, chosen in fields.items() if chosen}
    if packed:
        found["rgb"] = np.empty((count, 3), np.uint8)
    done = 0
    for block in blocks:
        part = slice(done, done + len(block))
        for kind, columns in found.items():
            _copy(block, fields[kind] or (packed or "",), columns[part])
        done += len(block)
    rgb = found.get("rgb")
    return Cloud(found["xyz"], None if rgb is None else scaled_colors(rgb), found.get("normals"), name)


def _fields(dtype: np.dtype, choices: tuple[tuple[str, ...], ...]) -> tuple[str, ...] | None:
    return next((fields for fields in choices if set(fields) <= set(dtype.names or ())), None)


def _kind(dtype: np.dtype, fields: tuple[str, ...], kind: str) -> np.dtype:
    """Points stay float64 where float32 would lose digits; colours stay what they are."""
    given = np.result_type(*(dtype[field] for field in fields)).newbyteorder("=")
    if kind == "rgb":
        return given
    return np.dtype(np.float64 if kind == "xyz" and given.itemsize > 4 - (given.kind in "iu") else np.float32)


def _copy(block: np.ndarray, fields: tuple[str, ...], columns: np.ndarray) -> None:
    """Fields of a block into columns [N, 3]."""
    if len(fields) == 1:  # packed: blue, green, red, alpha
        columns[:] = np.ascontiguousarray(block[fields[0]]).view(np.uint8).reshape(-1, 4)[:, 2::-1]
        return
    size = columns.itemsize
    offsets = [block.dtype.fields[field][1] for field in fields]  # type: ignore[index]
    same = all(block.dtype[field] == columns.dtype for field in fields)
    if same and size > 1 and offsets == [offsets[0], offsets[0] + size, offsets[0] + 2 * size]:
        # neighbours: their bytes are copied at once instead of three times with a stride
        layout: Any = {"names": ["v"], "formats": [f"V{3 * size}"], "offsets": offsets[:1]}
        layout["itemsize"] = block.dtype.itemsize
        joined = block.view(np.dtype(layout))["v"]
        columns.view(f"V{3 * size}")[:, 0] = joined
        return
    for i, field in enumerate(fields):
        columns[:, i] = block[field]


def scaled_colors(colors: np.ndarray) -> np.ndarray:
    """Bytes as they are; other colours as float32 in 0..1: 16 bits by 65535, integers and floats above 1 by 255."""
    if colors.dtype == np.uint8:
        return colors
    if colors.dtype.kind == "u" and colors.dtype.itemsize == 2:
        top = 65535.0 if len(colors) and colors.max() > 255 else 255.0
    elif colors.dtype.kind in "iu":
        top = 255.0
    else:
        top = 255.0 if len(colors) and np.nanmax(colors, initial=0.0) > 1 else 1.0
    found = np.multiply(colors, np.float32(1 / top), dtype=np.float32, casting="unsafe")
    return np.nan_to_num(found.clip(0, 1, out=found), copy=False, nan=0.0) if colors.dtype.kind == "f" else found


def table_cloud(table: np.ndarray, name: str) -> Cloud:
    """Numbers [N, C] -> a cloud: xyz; of 6 and 9 columns what follows is colours or unit normals, as the values say.

    4 columns: the last is left (an intensity); 7 columns: xyz, intensity, colours (.pts). Raises BadSample.
    """
    count = table.shape[1]
    if count < 3:
        raise BadSample(f"{name}: {count} columns; a point has x, y, z")
    starts = {6: (3,), 7: (4,), 9: (3, 6)}.get(count, ())
    found: dict[str, np.ndarray] = {}
    for start in starts:
        kind, values = _told(table[:, start : start + 3])
        if kind and kind not in found:
            found[kind] = values
        else:
            warn(f"{name}: columns {start + 1} to {start + 3} are neither colours nor unit normals: left out")
    points = table[:, :3]
    kept = np.float64 if points.dtype == np.float64 else np.float32
    return Cloud(np.ascontiguousarray(points, dtype=kept), found.get("colors"), found.get("normals"), name)


def _told(columns: np.ndarray) -> tuple[str, np.ndarray]:
    """What three columns hold: ("colors" | "normals" | "", values)."""
    if columns.dtype.kind in "iu":
        fits = not len(columns) or (columns.min() >= 0 and columns.max() <= 65535)
        return ("colors", scaled_colors(columns)) if fits else ("", columns)
    values = columns[np.isfinite(columns).all(axis=1)]
    if not len(values):
        return "", columns
    lengths = np.einsum("nc,nc->n", values, values)
    if values.min() < 0:
        return ("normals", columns.astype(np.float32)) if np.mean(np.abs(lengths - 1) < 0.05) > 0.9 else ("", columns)
    return ("colors", scaled_colors(columns)) if values.max() <= 255 else ("", columns)
