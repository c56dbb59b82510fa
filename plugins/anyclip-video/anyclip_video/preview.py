"""Contact sheets for reports, and the identity of a video's content."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import os
from typing import Any

import numpy as np
from anyclip_image.geometry import resize
from PIL import Image

from anyclip.errors import BadSample
from anyclip.readers import Blob
from anyclip.readers.content import content_of
from anyclip_video.decode import Request, read_windows
from anyclip_video.sampling import Sampling
from anyclip_video.sources import name_of

_COUNT, _SIDE = 4, 80  # frames of a sheet, pixels of their longer side


def preview(value: Any) -> str:
    """A self-contained `<img>`: four frames, evenly spread, side by side; a note where the value does not decode."""
    try:
        frames = read_windows(value, Sampling(frames=_COUNT, short="pad"), Request(), shrink=_thumbnail)[0]
    except BadSample as error:
        return f"<em>{html.escape(error.reason)}</em>"
    height, width = frames[0].shape[:2]
    sheet = np.full((height, len(frames) * (width + 2) - 2, 3), 255, dtype=np.uint8)
    for i, frame in enumerate(frames):
        sheet[: frame.shape[0], i * (width + 2) : i * (width + 2) + frame.shape[1]] = frame[:height, :width]
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "JPEG", quality=80)
    data = base64.b64encode(buffer.getvalue()).decode()
    label = html.escape(name_of(value), quote=True)
    size = f'width="{sheet.shape[1]}" height="{height}"'
    return f'<img src="data:image/jpeg;base64,{data}" {size} alt="{label}" title="{label}">'


def _thumbnail(pixels: np.ndarray) -> np.ndarray:
    scale = min(1.0, _SIDE / max(pixels.shape[:2]))
    size = (max(1, round(pixels.shape[0] * scale)), max(1, round(pixels.shape[1] * scale)))
    return resize(pixels, size, "bicubic", by_torch=False)


def content_key(value: Any) -> str:
    """Digest of a file's bytes and of the part that is meant; of arrays and folders, of every frame."""
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(value, dict) and (value.get("start") is not None or value.get("end") is not None):
        digest.update(repr((value.get("start"), value.get("end"))).encode())
    if _is_file(value):
        data, _ = content_of(value, "video", "a video is a path or bytes")
        _digest_file(data, digest)
        return digest.hexdigest()

    def add(pixels: np.ndarray) -> np.ndarray:
        digest.update(repr(pixels.shape).encode())
        digest.update(np.ascontiguousarray(pixels).tobytes())
        return pixels[:0]

    read_windows(value, Sampling(frames=2**62, short="pad"), Request(), shrink=add)
    return digest.hexdigest()


def _is_file(value: Any) -> bool:
    if isinstance(value, dict) and value.get("array") is None:
        value = value.get("path") if value.get("bytes") is None else value["bytes"]
    if isinstance(value, (str, os.PathLike)):
        return not os.path.isdir(value)
    return isinstance(value, (bytes, bytearray, memoryview, Blob))


def _digest_file(data: Any, digest: Any) -> None:
    if isinstance(data, bytes):
        digest.update(data)
        return
    with open(data, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
