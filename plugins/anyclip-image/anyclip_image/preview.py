"""Thumbnails for reports, and the identity of an image's content."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import os
from typing import Any

import numpy as np
from PIL import Image

from anyclip.errors import BadSample
from anyclip.readers import Blob
from anyclip_image.decode import decode, read_bytes
from anyclip_image.geometry import resize

_SIDE = 128


def preview(value: Any) -> str:
    """A self-contained `<img>` of at most 128 pixels a side; a note where the value does not decode."""
    name = _name(value)
    try:
        pixels = decode(value)
    except BadSample as error:
        return f"<em>{html.escape(error.reason)}</em>"
    scale = min(1.0, _SIDE / max(pixels.shape[:2]))
    size = (max(1, round(pixels.shape[0] * scale)), max(1, round(pixels.shape[1] * scale)))
    buffer = io.BytesIO()
    Image.fromarray(resize(pixels, size, "bicubic", by_torch=False)).save(buffer, "JPEG", quality=85, subsampling=0)
    data = base64.b64encode(buffer.getvalue()).decode()
    label = html.escape(name, quote=True)
    return (
        f'<img src="data:image/jpeg;base64,{data}" width="{size[1]}" height="{size[0]}" alt="{label}" title="{label}">'
    )


def content_key(value: Any) -> str:
    """Digest of the file's bytes, or of the pixels when the value is an array or a PIL image."""
    data = None if isinstance(value, Image.Image) else read_bytes(value)[0]
    digest = hashlib.blake2b(digest_size=16)
    if data is None:
        pixels = np.ascontiguousarray(decode(value))
        digest.update(repr(pixels.shape).encode())
        data = pixels.tobytes()
    digest.update(data)
    return digest.hexdigest()


def _name(value: Any) -> str:
    if isinstance(value, Blob):
        return value.name
    return os.path.basename(os.fspath(value)) if isinstance(value, (str, os.PathLike)) else "image"
