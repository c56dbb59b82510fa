"""Columns of numbers -> points, colours, normals: named fields of ply and pcd, unnamed ones of tables."""

from __future__ import annotations

import numpy as np

from anyclip.errors import BadSample
from anyclip_pointcloud.cloud import Cloud, warn

_XYZ = (("x", "y", "z"), ("X", "Y", "Z"))
_RGB = (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue"))
_NORMALS = (("nx", "ny", "nz"), ("normal_x", "normal_y", "normal_z"))


def named_cloud(records: np.ndarray, name: str) -> Cloud:
    """A structured array -> a cloud. Raises BadSample when x, y, z are not there."""
    points = _stacked(records, _XYZ)
    if points is None:
        raise BadSample(f"{name}: has no x, y, z but {', '.join(records.dtype.names or ()) or 'nothing'}")
    colors, normals = _stacked(records, _RGB), _stacked(records, _NORMALS)
    return Cloud(
        points if points.dtype == np.float64 else points.astype(np.float32, copy=False),
        None if colors is None else scaled_colors(colors),
        None if normals is None else normals.astype(np.float32, copy=False),
        name,
    )


def _stacked(records: np.ndarray, choices: tuple[tuple[str, ...], ...]) -> np.ndarray | None:
    names = records.dtype.names or ()
    for fields in choices:
        if set(fields) <= set(names):
            kind = np.result_type(*(records.dtype[f] for f in fields)).newbyteorder("=")
            columns = np.empty((len(records), 3), kind)
            for i, field in enumerate(fields):
                columns[:, i] = records[field]
            return columns
    return None


def scaled_colors(colors: np.ndarray) -> np.ndarray:
    """Colours of any kind -> float32 in 0..1: bytes by 255, 16 bits by 65535, floats above 1 by 255."""
    if colors.dtype.kind == "u" and colors.dtype.itemsize == 2:
        top = 65535.0 if len(colors) and colors.max() > 255 else 255.0
    elif colors.dtype.kind in "iu":
        top = 255.0
    else:
        top = 255.0 if len(colors) and np.nanmax(colors, initial=0.0) > 1 else 1.0
    found = colors.astype(np.float32)
    if top != 1.0:
        found *= np.float32(1 / top)
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
