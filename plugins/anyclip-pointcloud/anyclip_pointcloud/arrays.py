"""Arrays as clouds: values in memory, .npy, .npz, and datasets of .h5 files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from anyclip.errors import BadSample
from anyclip_pointcloud.cloud import Cloud
from anyclip_pointcloud.columns import scaled_colors, table_cloud
from anyclip_pointcloud.sources import PointFile, read_records, stride

_POINTS = ("points", "xyz", "data", "pos", "pc", "point", "coords", "arr_0")
_COLORS = ("colors", "rgb", "color", "colours")
_NORMALS = ("normals", "normal")
_MOST_COLUMNS = 16


def array_cloud(array: Any, name: str = "array") -> Cloud:
    """An array or tensor [N, 3 and more] -> a cloud. Raises BadSample."""
    if hasattr(array, "detach"):  # a tensor
        array = array.detach().cpu().float().numpy()
    array = np.asarray(array)
    check_shape(array.shape, array.dtype, name)
    if array.dtype == np.float16 or array.dtype == bool:
        array = array.astype(np.float32)
    return table_cloud(array, name)


def check_shape(shape: tuple[int, ...], dtype: np.dtype, name: str) -> None:
    """Raises BadSample unless the shape is [N, 3..16] of numbers."""
    if dtype.kind not in "fiu":
        kind = "pickled Python objects, which are not read" if dtype.hasobject else f"{dtype}, not numbers"
        raise BadSample(f"{name}: holds {kind}")
    said = f"{name}: an array of points is [N, 3] or [N, 6]; this is {list(shape)}"
    if len(shape) == 3:
        raise BadSample(f"{said}. One of several clouds is {name}#ROW")
    if len(shape) == 2 and 3 <= shape[0] <= _MOST_COLUMNS < shape[1]:
        raise BadSample(f"{said}: transposed?")
    if len(shape) != 2 or not 3 <= shape[1] <= _MOST_COLUMNS:
        raise BadSample(said)
    if not shape[0]:
        raise BadSample(f"{name}: holds 0 points")


def mapping_cloud(value: Mapping[str, Any], name: str = "mapping") -> Cloud:
    """{"points": [N, 3], "colors": [N, 3], "normals": [N, 3]}, or other usual names of these. Raises BadSample."""
    points = _pick(value, _POINTS)
    if points is None:
        raise BadSample(f"{name}: has none of {', '.join(_POINTS)} but {', '.join(map(str, value)) or 'nothing'}")
    cloud = array_cloud(points, name)
    return with_parts(cloud, _pick(value, _COLORS), _pick(value, _NORMALS))


def with_parts(cloud: Cloud, colors: Any, normals: Any) -> Cloud:
    """The cloud with colours and normals [N, 3] that stood beside it. Raises BadSample for another shape."""
    parts = {"colors": cloud.rgb, "normals": cloud.normals}
    for kind, array in (("colors", colors), ("normals", normals)):
        if array is None:
            continue
        array = np.asarray(array.detach().cpu() if hasattr(array, "detach") else array)
        if array.shape[:1] != (len(cloud),) or array.ndim != 2 or array.shape[1] < 3 or array.dtype.kind not in "fiu":
            raise BadSample(f"{cloud.name}: {kind} are [N, 3] numbers, N = {len(cloud)}, not {list(array.shape)}")
        array = array[:, :3]
        parts[kind] = scaled_colors(array) if kind == "colors" else array.astype(np.float32)
    return Cloud(cloud.points, parts["colors"], parts["normals"], cloud.name)


def _pick(value: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((value[name] for name in names if name in value), None)


def read_npy(file: PointFile, most: int) -> Cloud:
    """[N, 3 and more], or one row of [M, N, C] (`clouds.npy#12`); never unpickles. Raises BadSample."""
    stream = io.BytesIO(file.read(0, 1 << 14))
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except (ValueError, EOFError, SyntaxError) as error:
        raise file.error(f"damaged: not an npy file: {error}") from None
    offset = stream.tell()
    if len(shape) == 3 and file.part is not None and not dtype.hasobject:
        if not file.part < shape[0]:
            raise file.error(f"holds {shape[0]} clouds; there is no #{file.part}")
        shape, offset = shape[1:], offset + file.part * shape[1] * shape[2] * dtype.itemsize
    check_shape(shape, dtype, file.name)
    if fortran:
        whole = read_records(file, dtype, shape[0] * shape[1], offset, shape[0] * shape[1])
        return table_cloud(whole.reshape(shape, order="F")[:: stride(shape[0], most)], file.name)
    record = np.dtype((np.void, dtype.itemsize * shape[1]))
    rows = read_records(file, record, shape[0], offset, most)
    return array_cloud(np.ascontiguousarray(rows).view(dtype).reshape(-1, shape[1]), file.name)


def read_npz(file: PointFile, most: int) -> Cloud:
    """Arrays by their usual names (points, xyz, data, pos, pc, arr_0; colors, rgb; normals). Raises BadSample."""
    try:
        with file.open() as stream, np.load(stream, allow_pickle=False) as arrays:
            found = {n: arrays[n] for names in (_POINTS, _COLORS, _NORMALS) for n in names if n in arrays.files}
            names = arrays.files
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, MemoryError, NotImplementedError) as error:
        reason = "holds pickled Python objects, which are not read" if "allow_pickle" in str(error) else error
        raise file.error(f"not an npz file that can be read: {reason}") from None
    if not found:
        raise file.error(f"has none of {', '.join(_POINTS)} but {', '.join(names) or 'nothing'}")
    if file.part is not None:
        found = {name: _part(array, file) for name, array in found.items() if array.ndim == 3}
    return mapping_cloud(found, file.name)[:: stride(max(1, len(next(iter(found.values())))), most)]


def _part(array: np.ndarray, file: PointFile) -> np.ndarray:
    """One of several clouds. Raises BadSample."""
    if file.part is None or file.part >= len(array):
        raise file.error(f"holds {len(array)} clouds; there is no #{file.part}")
    return array[file.part]


def read_h5(file: PointFile, most: int) -> Cloud:
    """A dataset [N, C], or one row of [M, N, C] (`clouds.h5#12`), with normals and colours beside. Raises BadSample."""
    import h5py

    try:
        with file.open() as stream, h5py.File(stream, "r") as data:
            return _h5_cloud(data, file, most)
    except (OSError, RuntimeError, KeyError) as error:
        raise file.error(f"not an h5 file that can be read: {error}") from None


def _h5_cloud(data: Any, file: PointFile, most: int) -> Cloud:
    import h5py

    sets = {name: item for name, item in data.items() if isinstance(item, h5py.Dataset)}
    points = _pick(sets, _POINTS)
    if points is None:
        raise file.error(f"has none of {', '.join(_POINTS)} but {', '.join(data) or 'nothing'}")
    rows: tuple = ()
    shape = points.shape
    if len(shape) == 3 and file.part is not None:
        if not file.part < shape[0]:
            raise file.error(f"holds {shape[0]} clouds; there is no #{file.part}")
        rows, shape = (file.part,), shape[1:]
    check_shape(shape, points.dtype, file.name)
    beside = (points, _pick(sets, _COLORS), _pick(sets, _NORMALS))
    arrays = [None if item is None else _thinned(item, rows, shape[0], most) for item in beside]
    return with_parts(array_cloud(arrays[0], file.name), arrays[1], arrays[2])


def _thinned(item: Any, rows: tuple, count: int, most: int) -> np.ndarray:
    """Every k-th row, read in blocks: a strided read of a dataset is many times slower."""
    step = stride(count, most)
    block = step * max(1, (1 << 20) // step)
    return np.concatenate([item[(*rows, slice(i, min(i + block, count)))][::step] for i in range(0, count, block)])
