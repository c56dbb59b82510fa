"""Players with a waveform for reports, and the identity of a sound's content."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import os
from typing import Any

import numpy as np

from anyclip.errors import BadSample
from anyclip.readers import Blob
from anyclip_audio.decode import Sound, decode, resample

_SECONDS, _RATE = 6.0, 16_000
_COLUMNS, _HEIGHT = 96, 32


def preview(value: Any) -> str:
    """A self-contained player of the first seconds over a waveform; a note where the value does not decode."""
    try:
        sound = decode(value, seconds=_SECONDS)
    except BadSample as error:
        return f"<em>{html.escape(error.reason)}</em>"
    label = html.escape(_name(value), quote=True)
    return (
        f'<span title="{label}" style="display:inline-block">{_waveform(sound)}<br>'
        f'<audio controls preload="none" style="width:220px;height:32px" src="{_data_url(sound)}"></audio></span>'
    )


def content_key(value: Any) -> str:
    """Digest of the decoded samples and their rate, so that a path, its bytes and its array are one content."""
    sound = decode(value)
    digest = hashlib.blake2b(f"{sound.rate}:".encode(), digest_size=16)
    digest.update(sound.samples.tobytes())
    return digest.hexdigest()


def _waveform(sound: Sound) -> str:
    """An SVG of the largest magnitude per column."""
    columns = min(_COLUMNS, len(sound.samples))
    peaks = [float(np.abs(part).max()) for part in np.array_split(sound.samples, columns)]
    top = max(max(peaks), 1e-9)
    step, middle = 220 / columns, _HEIGHT / 2
    bars = "".join(
        f"M{step * (i + 0.5):.1f} {middle - h:.1f}V{middle + h:.1f}"
        for i, h in enumerate(max(0.5, middle * p / top) for p in peaks)
    )
    return (
        f'<svg width="220" height="{_HEIGHT}" viewBox="0 0 220 {_HEIGHT}" role="img">'
        f'<path d="{bars}" stroke="currentColor" stroke-width="{step * 0.7:.1f}" fill="none"/></svg>'
    )


def _data_url(sound: Sound) -> str:
    """mp3 where libsndfile writes it (small, and every browser plays it), else wav."""
    import soundfile

    samples = resample(sound.samples, sound.rate, _RATE)
    samples = samples / max(1.0, float(np.abs(samples).max()))
    kind, mime = ("MP3", "audio/mpeg") if "MP3" in soundfile.available_formats() else ("WAV", "audio/wav")
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, _RATE, format=kind)
    return f"data:{mime};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _name(value: Any) -> str:
    if isinstance(value, Blob):
        return value.name
    return os.path.basename(os.fspath(value)) if isinstance(value, (str, os.PathLike)) else "sound"
