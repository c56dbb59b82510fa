"""Read .las and .laz (airborne scans) with laspy, block by block."""

from __future__ import annotations

import numpy as np

from anyclip_pointcloud.cloud import Cloud
from anyclip_pointcloud.columns import scaled_colors
from anyclip_pointcloud.sources import PointFile, stride

_BLOCK = 1 << 20


def read_las(file: PointFile, most: int) -> Cloud:
    """Points in the file's units (float64), with colours where its point format has them. Raises BadSample."""
    try:
        import laspy
    except ImportError:
        raise file.error("las and laz need laspy: pip install 'anyclip-pointcloud[las]'") from None
    points, colors = [], []
    try:
        with file.open() as stream, laspy.open(stream, closefd=False) as reader:
            count = int(reader.header.point_count)
            if not count:
                raise file.error("holds 0 points")
            step = stride(count, most)
            for part in reader.chunk_iterator(step * max(1, _BLOCK // step)):
                points.append(np.stack([np.asarray(part[axis])[::step] for axis in "xyz"], axis=1))
                if "red" in part.point_format.dimension_names:
                    colors.append(np.stack([np.asarray(part[c])[::step] for c in ("red", "green", "blue")], axis=1))
    # lazrs raises its own kinds, which are no subclasses of laspy's
    except (laspy.errors.LaspyException, RuntimeError, ValueError, OSError, EOFError, MemoryError) as error:
        raise file.error(f"damaged, or needs lazrs (pip install 'anyclip-pointcloud[las]'): {error}") from None
    if not points:
        raise file.error("truncated: no points are there")
    found = scaled_colors(np.concatenate(colors)) if colors else None
    return Cloud(np.concatenate(points).astype(np.float64), found, None, file.name)
