"""A value as an open video: choice of the decoder, checks of the file, parts of a file."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import io
import os
from collections.abc import Mapping
from typing import Any

from anyclip.errors import BadSample, UserError
from anyclip.readers import Blob
from anyclip.readers.content import content_of, open_url
from anyclip_video.frames_source import FramesSource, array_frames, folder_frames
from anyclip_video.mp4 import Mp4Facts, read_mp4
from anyclip_video.source import VideoSource

MODULES = {"torchcodec": "torchcodec", "decord": "decord", "pyav": "av"}
"""Decoder -> the module it needs, the preferred first."""
_SOURCES = {
    "torchcodec": "torchcodec_source:TorchcodecSource",
    "decord": "decord_source:DecordSource",
    "pyav": "pyav_source:PyavSource",
}
_WANTED = "a video is a path, bytes, an array [T, H, W, 3] or a list of pictures"


def open_video(
    value: Any, backend: str = "auto", *, threads: int = 1, max_pixels: int = 2**26
) -> tuple[VideoSource, float | None, float | None]:
    """(source, start, end): a value as a video, and the seconds of it that are meant (None: from or to its end).

    value: path, URL that fsspec opens, bytes, `Blob`, {"bytes": ..., "path": ...}; a folder or a list of pictures; an
    array [T, H, W(, 3)] or a tensor [T, 3, H, W], alone, as (array, frames a second) or {"array": ..., "fps": ...}.
    A mapping may have `start` and `end` in seconds. Raises BadSample that names the file.
    """
    start = end = None
    if isinstance(value, Mapping):
        start, end = (_second(value.get(key), key) for key in ("start", "end"))
    source = _frames_of(value, max_pixels)
    if source is None:
        source = _open_file(value, backend, threads)
    if source.size is not None and source.size[0] * source.size[1] > max_pixels:
        height, width = source.size
        source.close()
        raise BadSample(
            f"{source.name}: {width} x {height} pixels is above the limit of {max_pixels} (option max_pixels)"
        )
    return source, start, end


def _second(value: Any, key: str) -> float | None:
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise BadSample(f"{key} is a number of seconds, not {value!r}") from None


def _frames_of(value: Any, max_pixels: int) -> VideoSource | None:
    """Values that hold frames already; None for a file."""
    rate, name = None, "array"
    if isinstance(value, Mapping):
        if value.get("array") is None:
            return _frames_of(value["path"], max_pixels) if _is_folder(value.get("path")) else None
        value, rate = value["array"], value.get("fps")
    elif isinstance(value, tuple) and len(value) == 2:
        value, rate = value
    if isinstance(value, (list, tuple)):
        return FramesSource(value, "list of frames", rate, max_pixels)
    if _is_folder(value):
        return FramesSource(folder_frames(os.fspath(value)), os.fspath(value), rate, max_pixels)
    if hasattr(value, "__array__") or hasattr(value, "detach"):
        return FramesSource(array_frames(value), name, rate, max_pixels)
    return None


def _is_folder(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike)) and "\0" not in str(value) and os.path.isdir(value)


def _open_file(value: Any, backend: str, threads: int) -> VideoSource:
    file, name = content_of(value, "video", _WANTED, remote=open_url)
    facts = _facts(file, name)
    if facts.missing:
        raise BadSample(f"{name}: {facts.missing}")
    failures = []
    for kind in MODULES if backend == "auto" else (backend,):
        if not loads(kind):
            continue
        try:
            return _source(kind)(file, name, threads=threads, constant=facts.constant)
        except BadSample as error:
            failures.append(f"{kind}: {error.reason.removeprefix(f'{name}: ')}")
        if hasattr(file, "seek"):
            file.seek(0)
    raise BadSample(f"{name}: not a video that can be read ({'; '.join(failures) or f'{backend} does not load'})")


def _facts(file: Any, name: str) -> Mp4Facts:
    try:
        if isinstance(file, str):
            with open(file, "rb") as stream:
                return read_mp4(stream)
        if isinstance(file, bytes):
            return read_mp4(io.BytesIO(file))
        facts = read_mp4(file)
        file.seek(0)
        return facts
    except OSError as error:
        raise BadSample(f"{name}: cannot be read: {error}") from error


def _source(kind: str) -> type[Any]:
    module, _, cls = _SOURCES[kind].partition(":")
    return getattr(importlib.import_module(f"anyclip_video.{module}"), cls)


def available() -> tuple[str, ...]:
    """The decoders that are installed and load, the preferred first."""
    return tuple(name for name in MODULES if loads(name))


def require_backend(name: str) -> str:
    """The name, when that decoder (`auto`: any) works here. Raises UserError."""
    if name == "auto" and not available():
        raise UserError("no decoder of videos is installed or loads.", next="pip install av")
    if name != "auto" and not loads(name):
        raise UserError(
            f"backend: {name} is not installed or does not load.",
            hint=f"Use {', '.join(available()) or 'another'}."
            + (" It needs the FFmpeg libraries." if name == "torchcodec" else ""),
            next=f"pip install {MODULES[name]}",
        )
    return name


@functools.cache
def loads(name: str) -> bool:
    """Whether a decoder is installed with its native libraries; asked only when it is needed."""
    if importlib.util.find_spec(MODULES[name]) is None:
        return False
    try:
        if name == "torchcodec":  # looks for FFmpeg when its decoders are imported
            importlib.import_module("torchcodec.decoders")
        else:
            importlib.import_module(MODULES[name])
    except (ImportError, OSError, RuntimeError):  # a native library is missing
        return False
    return True


def name_of(value: Any) -> str:
    """What a report calls a value."""
    if isinstance(value, Mapping):
        value = value.get("path")
    if isinstance(value, Blob):
        return value.name
    return os.path.basename(os.fspath(value)) if isinstance(value, (str, os.PathLike)) else "video"
