"""Open a value (path, URL, bytes, array) as a sound whose parts can be read: rate, length, `read(start, count)`.

Decoders: soundfile (libsndfile: wav, flac, ogg, opus, mp3, aiff, au, caf ...), torchcodec and PyAV (FFmpeg:
everything else, also the sound of videos), librosa. `auto` takes the first that opens the value.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import re
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from anyclip.errors import BadSample, UserError
from anyclip.readers.content import content_of
from anyclip_audio.containers import what_is_missing

BACKENDS = ("soundfile", "torchcodec", "pyav", "librosa")
_MODULES = {"pyav": "av"}  # decoder -> its module, where the name is another
_BLOCK = 1 << 18  # samples decoded at a time on the way to a part


class SoundSource(ABC):
    """A sound that is read in parts. name: of the file; rate: in Hz; frames: its length in samples."""

    name: str
    rate: int
    frames: int

    @abstractmethod
    def read(self, start: int, count: int) -> np.ndarray:
        """float [T, C] of the samples start .. start + count; fewer where the sound ends. Raises BadSample."""

    def close(self) -> None:  # noqa: B027 (nothing to close by default)
        """Give the file back."""

    def __enter__(self) -> SoundSource:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def open_sound(value: Any, backend: str = "auto") -> SoundSource:
    """A value as a source. Raises BadSample that names the file.

    value: path, URL that fsspec opens, bytes, `Blob`, {"bytes": ..., "path": ...}, (array, rate), or
    {"array": ..., "sampling_rate": ...}; arrays are [T], [C, T] or [T, C] (the shorter axis is the channels). A mapping
    may have `start` and `end` in seconds: a part of the sound.
    """
    if isinstance(value, Mapping) and (value.get("start") is not None or value.get("end") is not None):
        whole = open_sound({k: v for k, v in value.items() if k not in ("start", "end")}, backend)
        return PartSource(whole, value.get("start"), value.get("end"))
    if isinstance(value, Mapping) and value.get("array") is not None:
        value = (value["array"], value.get("sampling_rate"))
    if isinstance(value, tuple) and len(value) == 2:
        return ArraySource(*value)
    file, name = content_of(value, "audio", "a sound is a path, bytes or (array, rate)")
    failures = []
    for kind in (backend,) if backend != "auto" else _order(file):
        if not loads(kind):
            continue
        try:
            return _opener(kind)(file, name)
        except BadSample as error:
            if isinstance(error, Truncated):
                raise
            failures.append(f"{kind}: {' '.join(error.reason.removeprefix(f'{name}: ').replace(name, '').split())}")
    raise BadSample(f"{name}: not a sound that can be read ({'; '.join(failures) or f'{backend} does not load'})")


def _order(file: str | bytes) -> tuple[str, ...]:
    """FFmpeg reads ogg faster than libsndfile, and only FFmpeg seeks in it; else soundfile first."""
    if isinstance(file, bytes):
        head = file[:4]
    else:
        with open(file, "rb") as stream:
            head = stream.read(4)
    return ("torchcodec", *(kind for kind in BACKENDS if kind != "torchcodec")) if head == b"OggS" else BACKENDS


class Truncated(BadSample):
    """The file ends before its header says it does."""


def available() -> tuple[str, ...]:
    """The decoders that are installed and load, the preferred first."""
    return tuple(name for name in BACKENDS if loads(name))


def require_backend(name: str) -> str:
    """The name, when that decoder works here. Raises UserError."""
    if name != "auto" and not loads(name):
        raise UserError(
            f"backend: {name} is not installed or does not load.",
            hint=f"Use {', '.join(available())}." + (" It needs the FFmpeg libraries." if name == "torchcodec" else ""),
            next=f"pip install {_MODULES.get(name, name)}",
        )
    return name


@functools.cache
def loads(name: str) -> bool:
    """Whether a decoder is installed with its native libraries; asked only when it is needed."""
    module = _MODULES.get(name, name)
    if importlib.util.find_spec(module) is None:
        return False
    if name == "librosa":  # imports its parts lazily, nothing native of its own
        return True
    try:
        importlib.import_module(module)
        if name == "torchcodec":  # looks for FFmpeg when it is first used
            from torchcodec.decoders import AudioDecoder

            AudioDecoder(_TINY_WAV)
    except (ImportError, OSError, RuntimeError):  # a native library is missing
        return False
    return True


_TINY_WAV = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 52, b"WAVE", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16, b"data", 16)
_TINY_WAV += bytes(16)


def _require_whole(file: str | bytes, name: str) -> None:
    problem = what_is_missing(file)
    if problem:
        raise Truncated(f"{name}: {problem}")


class ArraySource(SoundSource):
    """Samples that are decoded already; integers are scaled by their range."""

    name = "array"

    def __init__(self, array: Any, rate: Any):
        if isinstance(rate, bool) or not isinstance(rate, (int, float, np.integer, np.floating)) or not rate > 0:
            raise BadSample(f"an array comes with its rate in Hz: (array, 48000), not with {rate!r}")
        if hasattr(array, "detach"):  # a tensor
            array = array.detach().cpu().numpy()
        samples = np.asarray(array)
        if samples.dtype.kind not in "fiu" or samples.ndim not in (1, 2):
            raise BadSample(f"an audio array is [T] or [C, T] numbers; this is {samples.dtype} {list(samples.shape)}")
        samples = (
            samples[:, None] if samples.ndim == 1 else samples.T if samples.shape[0] < samples.shape[1] else samples
        )
        self.samples = _to_float(samples)
        self.rate, self.frames = round(float(rate)), len(samples)

    def read(self, start: int, count: int) -> np.ndarray:
        return self.samples[start : start + count]


def _to_float(samples: np.ndarray) -> np.ndarray:
    if samples.dtype.kind == "f":
        return samples.astype(np.float32)
    info = np.iinfo(samples.dtype)
    middle = 0 if info.min < 0 else (int(info.max) + 1) // 2
    return ((samples.astype(np.float64) - middle) / (int(info.max) + 1 - middle)).astype(np.float32)


class PartSource(SoundSource):
    """The seconds start <= t < end of another source. Raises BadSample when they are not in it."""

    def __init__(self, whole: SoundSource, start: Any, end: Any):
        self.whole, self.name, self.rate = whole, whole.name, whole.rate
        try:
            first = round(float(start or 0.0) * self.rate)
            last = whole.frames if end is None else min(round(float(end) * self.rate), whole.frames)
        except (TypeError, ValueError):
            raise BadSample(f"{self.name}: start and end are numbers of seconds, not {start!r} and {end!r}") from None
        if not 0 <= first < last:
            length = whole.frames / self.rate
            whole.close()
            raise BadSample(f"{self.name}: the part {start or 0} s to {end} s is not in it: it has {length:.3f} s")
        self.first, self.frames = first, last - first

    def read(self, start: int, count: int) -> np.ndarray:
        return self.whole.read(self.first + start, min(count, self.frames - start))

    def close(self) -> None:
        self.whole.close()


class SoundfileSource(SoundSource):
    """libsndfile through soundfile; seeks, so only the asked part is decoded.

    In ogg libsndfile (1.2.2) seeks to other samples than asked, or to none: there it decodes from the beginning.
    """

    def __init__(self, file: str | bytes, name: str):
        import soundfile

        self.name = name
        _require_whole(file, name)
        try:
            self.file = soundfile.SoundFile(io.BytesIO(file) if isinstance(file, bytes) else file)
        except (soundfile.SoundFileError, RuntimeError, OSError, TypeError) as error:
            raise BadSample(f"{name}: {_plain(error)}") from None
        self.raw, self.rate, self.frames = file, self.file.samplerate, self.file.frames

    def read(self, start: int, count: int) -> np.ndarray:
        import soundfile

        count = min(count, self.frames - start)
        try:
            if self.file.format == "OGG":
                self._walk(start)
            elif start:
                self.file.seek(start)
            samples = self.file.read(count, dtype="float32", always_2d=True)
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise Truncated(f"{self.name}: damaged: {_plain(error)}") from None
        if len(samples) < count:
            raise Truncated(f"{self.name}: truncated: {start + len(samples)} of {self.frames} samples are there")
        return samples

    def _walk(self, start: int) -> None:
        """Decode and drop what lies before `start`."""
        import soundfile

        if start < self.file.tell():
            self.file.close()
            self.file = soundfile.SoundFile(io.BytesIO(self.raw) if isinstance(self.raw, bytes) else self.raw)
        while self.file.tell() < start:
            if not len(self.file.read(min(_BLOCK, start - self.file.tell()), dtype="float32")):
                return

    def close(self) -> None:
        self.file.close()


class TorchcodecSource(SoundSource):
    """FFmpeg through torchcodec; reads ranges of seconds. The length comes from the header: in mp3 and aac it may
    count up to a tenth of a second of padding that is not there."""

    def __init__(self, file: str | bytes, name: str):
        from torchcodec.decoders import AudioDecoder

        self.name = name
        _require_whole(file, name)
        try:
            self.decoder = AudioDecoder(file)
            found = self.decoder.metadata
        except (RuntimeError, ValueError, OSError) as error:
            raise BadSample(f"{name}: {_plain(error)}") from None
        if not found.sample_rate:
            raise BadSample(f"{name}: has no sound")
        self.rate = int(found.sample_rate)
        seconds = found.duration_seconds or found.duration_seconds_from_header or 0.0
        self.begin = float(found.begin_stream_seconds_from_header or 0.0)
        self.whole: np.ndarray | None = None
        if not seconds:  # a stream without a duration: decode it to know
            self.whole = self._range(0.0, None)
        self.frames = len(self.whole) if self.whole is not None else round(seconds * self.rate)

    def read(self, start: int, count: int) -> np.ndarray:
        if self.whole is not None:
            return self.whole[start : start + count]
        begin = self.begin + start / self.rate
        whole = start == 0 and count >= self.frames
        return self._range(begin, None if whole else begin + count / self.rate)[:count]

    def _range(self, start: float, stop: float | None) -> np.ndarray:
        try:
            found = self.decoder.get_samples_played_in_range(start, stop)
        except (RuntimeError, ValueError, OSError) as error:
            if "No audio frames were decoded" in str(error):  # behind the end
                return np.zeros((0, 1), np.float32)
            raise BadSample(f"{self.name}: damaged: {_plain(error)}") from None
        return found.data.numpy().T


class LibrosaSource(SoundSource):
    """librosa.load of the whole file (soundfile, else audioread)."""

    def __init__(self, file: str | bytes, name: str):
        import warnings

        import librosa

        self.name = name
        _require_whole(file, name)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # says which of its decoders it took
                samples, rate = librosa.load(io.BytesIO(file) if isinstance(file, bytes) else file, sr=None, mono=False)
        except Exception as error:  # audioread raises its own kinds, one per decoder program
            raise BadSample(f"{name}: {_plain(error) or type(error).__name__}") from None
        self.samples = np.ascontiguousarray(np.atleast_2d(samples).T)
        self.rate, self.frames = int(rate), len(self.samples)

    def read(self, start: int, count: int) -> np.ndarray:
        return self.samples[start : start + count]


def _plain(error: BaseException) -> str:
    """One line without the path or the address of a buffer, which soundfile puts first, or the line of C++ code."""
    text = re.sub(r"^.*\.cpp:\d+, ", "", " ".join(str(error).split()))
    return text.rsplit(": ", 1)[-1][:200] if text.startswith("Error opening") else text[:200]


_OPENERS = {"soundfile": SoundfileSource, "torchcodec": TorchcodecSource, "librosa": LibrosaSource}


def _opener(kind: str) -> Callable[[str | bytes, str], SoundSource]:
    if kind == "pyav":
        from anyclip_audio.pyav_source import PyavSource

        return PyavSource
    return _OPENERS[kind]
