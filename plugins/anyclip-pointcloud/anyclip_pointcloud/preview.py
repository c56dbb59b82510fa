"""Pictures for reports, and the identity of a cloud's content."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import os
import warnings
from typing import Any

import numpy as np
from PIL import Image

from anyclip.errors import BadSample
from anyclip.readers import Blob
from anyclip_pointcloud.cloud import PointWarning
from anyclip_pointcloud.decode import decode
from anyclip_pointcloud.drawing import draw_views
from anyclip_pointcloud.sources import open_file

_BLOCK = 1 << 20


def preview(value: Any) -> str:
    """A self-contained `<img>` of the front, side and top view, and one of six depth maps as image towers see them.

    A note where the value does not decode.
    """
    from anyclip_pointcloud.view_pictures import depth_strip

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PointWarning)  # said when the value was embedded
            cloud = decode(value, most=100_000)
    except BadSample as error:
        return f"<em>{html.escape(error.reason)}</em>"
    label = f"{_name(value)}: {len(cloud)} points"
    views = _image(draw_views(cloud), f"{label}; front, side, top")
    return f"{views}<br>{_image(depth_strip(cloud.points), f'{label}; depth maps')}"


def _image(pixels: np.ndarray, label: str) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).quantize(128).save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    text, (height, width) = html.escape(label, quote=True), pixels.shape[:2]
    return f'<img src="data:image/png;base64,{data}" width="{width}" height="{height}" alt="{text}" title="{text}">'


def content_key(value: Any) -> str:
    """Digest of the file's bytes (and of the row, for one of several clouds), or of the points of arrays."""
    digest = hashlib.blake2b(digest_size=16)
    file = open_file(value)
    if file is not None:
        with file.open() as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
        digest.update(f"#{file.part}".encode() if file.part is not None else b"")
        return digest.hexdigest()
    cloud = decode(value)
    for name, part in (("points", cloud.points), ("colors", cloud.rgb), ("normals", cloud.normals)):
        if part is not None:
            digest.update(f"{name}{part.dtype}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _name(value: Any) -> str:
    if isinstance(value, Blob):
        return value.name
    return os.path.basename(os.fspath(value)) if isinstance(value, (str, os.PathLike)) else "cloud"
