"""Frames and a sound -> the bytes of an mp4 file, with PyAV or torchcodec."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from anyclip.errors import UserError
from anyclip_video.sources import loads

_CODECS = ("libx264", "libopenh264", "mpeg4")


def write_video(
    frames: Iterable[np.ndarray],
    fps: float,
    sound: tuple[np.ndarray, int] | None = None,
    *,
    quality: int = 18,
    keyframes: int = 12,
) -> bytes:
    """An mp4 file: H.264 (MPEG-4 part 2 where no encoder of it is there), AAC.

    frames: uint8 [H, W, 3] each; an odd height or width loses its last row or column. fps: frames a second.
    sound: (float [S] in -1..1, Hz). quality: x264's crf, 0 to 51, smaller is better. keyframes: frames from one to the
    next. Raises UserError where neither PyAV nor torchcodec can write.
    """
    frames = (np.ascontiguousarray(frame[: len(frame) // 2 * 2, : frame.shape[1] // 2 * 2]) for frame in frames)
    if loads("pyav"):
        return _with_pyav(frames, fps, sound, quality, keyframes)
    if loads("torchcodec"):
        return _with_torchcodec(frames, fps, sound, quality, keyframes)
    raise UserError("neither PyAV nor torchcodec is installed, which write videos.", next="pip install av")


def _with_pyav(frames: Iterator[np.ndarray], fps: float, sound: Any, quality: int, keyframes: int) -> bytes:
    import av

    buffer, first = io.BytesIO(), next(frames)
    codec = next(name for name in _CODECS if name in av.codecs_available)
    options = {"crf": str(quality), "preset": "veryfast"} if codec == "libx264" else {}
    with av.open(buffer, "w", format="mp4") as container:
        picture: Any = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=options)
        picture.height, picture.width = first.shape[:2]
        picture.pix_fmt = "yuv420p"
        picture.codec_context.thread_count = 1  # the same bytes every time
        picture.codec_context.gop_size = keyframes
        voice: Any = container.add_stream("aac", rate=sound[1], layout="mono") if sound else None
        for pixels in itertools.chain((first,), frames):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(picture.encode())
        if sound:
            samples = np.ascontiguousarray(sound[0], dtype=np.float32)[None]
            frame: Any = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate = sound[1]
            container.mux(voice.encode(frame))
            container.mux(voice.encode())
    return buffer.getvalue()


def _with_torchcodec(frames: Iterator[np.ndarray], fps: float, sound: Any, quality: int, keyframes: int) -> bytes:
    import torch

    try:
        from torchcodec.encoders import Encoder  # type: ignore[attr-defined]
    except ImportError as error:
        raise UserError("this torchcodec writes no videos with sound.", next="pip install av") from error
    buffer, encoder, first = io.BytesIO(), Encoder(), next(frames)
    picture = encoder.add_video(
        height=first.shape[0],
        width=first.shape[1],
        frame_rate=fps,
        pixel_format="yuv420p",
        crf=quality,
        extra_options={"g": keyframes},
    )
    voice = encoder.add_audio(sample_rate=sound[1], num_channels=1) if sound else None
    with encoder.open_file_like(buffer, format="mp4"):
        for pixels in itertools.chain((first,), frames):
            picture.add_frames(torch.from_numpy(pixels).permute(2, 0, 1).contiguous()[None])
        if voice is not None:
            voice.add_samples(torch.from_numpy(np.asarray(sound[0], dtype=np.float32))[None])
    return buffer.getvalue()
