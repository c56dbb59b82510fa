"""Decoding: every kind of value, the shared broken files, parts of long files, all decoders alike."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
import soundfile
import torch
from anyclip_audio.decode import SoundWarning, decode, read_parts, resample
from anyclip_audio.sources import available, loads, open_sound, require_backend

from anyclip.errors import BadSample, UserError
from anyclip.readers import Blob

from .conftest import clip, encoded, expected_sounds

KINDS = ["WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF"]


def test_every_kind_of_value(tmp_path):
    samples = (np.round(clip() * 32768) / 32768).astype(np.float32)
    data = encoded(samples, subtype="PCM_16")
    path = tmp_path / "sound.wav"
    path.write_bytes(data)
    ints = (samples * 32768).astype(np.int16)
    values = [
        str(path),
        path,
        f"file://{path}",
        data,
        bytearray(data),
        Blob(data, "x.wav"),
        {"bytes": data, "path": None},
        {"bytes": None, "path": str(path)},
        (samples, 16_000),
        (samples.astype(np.float64), 16_000.0),
        (ints, 16_000),
        (ints.astype(np.int32) * 65536, 16_000),
        (np.stack([samples, samples]), 16_000),
        (np.stack([samples, samples], axis=1), 16_000),
        (torch.from_numpy(samples)[None], 16_000),
        {"array": samples, "sampling_rate": 16_000},
    ]
    for value in values:
        sound = decode(value)
        assert sound.rate == 16_000
        assert sound.samples.dtype == np.float32
        np.testing.assert_allclose(sound.samples, samples, atol=1e-7)


def test_unsigned_arrays_are_centred():
    assert decode((np.array([0, 128, 255], np.uint8), 8000)).samples.tolist() == [-1.0, 0.0, 127 / 128]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ((clip(), None), "comes with its rate"),
        ((clip(), -1), "comes with its rate"),
        ((clip(), True), "comes with its rate"),
        ((np.zeros((2, 3, 4)), 8000), r"\[2, 3, 4\]"),
        ((np.array(["a"]), 8000), "numbers"),
        ((np.zeros(0), 8000), "array: has no samples"),
        ((np.full(9, np.inf), 8000), "9 samples are not finite"),
        (clip(), "not ndarray"),
        (7, "not int"),
        ("/nowhere/x.wav", "/nowhere/x.wav: no such file"),
        ("/tmp", "/tmp: is a folder"),
        (b"", "audio bytes: the file is empty"),
        (Blob(b"no sound at all", "x.wav"), r"x.wav: not a sound that can be read \(soundfile: Format not recognised"),
    ],
)
def test_what_is_no_sound_is_refused(value, reason):
    with pytest.raises(BadSample, match=reason):
        decode(value)


@pytest.mark.parametrize("row", expected_sounds(), ids=lambda row: row["file"])
def test_the_shared_broken_files(row, broken):
    path = broken / row["file"]
    for value in (str(path), Blob(path.read_bytes(), row["file"])):
        if row["file"].endswith(("nan.wav", "zero_samples.wav", "empty.wav", "text.wav")) or "truncated" in row["file"]:
            with pytest.raises(BadSample, match=path.name):
                decode(value)
            continue
        assert row["expect"].startswith("ok")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            sound = decode(value)
        assert np.isfinite(sound.samples).all()
        assert [path.name in str(w.message) for w in caught if w.category is SoundWarning] == (
            [True] if "overdriven" in row["file"] else []
        )
        if "good" in path.name or "_8k" in path.name:  # the same second of 440 Hz
            spectrum = np.abs(np.fft.rfft(sound.samples))
            heard = spectrum.argmax() / sound.seconds
            assert abs(heard - 440) < 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", ["soundfile", "torchcodec", "pyav", "librosa"])
def test_parts_are_those_of_the_whole(kind, backend, tmp_path):
    if not loads(backend):
        pytest.skip(f"{backend} does not load here" + (": no FFmpeg libraries" if backend == "torchcodec" else ""))
    if kind not in soundfile.available_formats():
        pytest.skip(f"this libsndfile writes no {kind}")
    stereo = np.stack([clip(4.0, 22_050, 1), clip(4.0, 22_050, 2)], axis=1)
    path = tmp_path / f"sound.{kind.lower()}"
    path.write_bytes(encoded(stereo, 22_050, kind))
    with open_sound(str(path)) as source:
        assert abs(source.frames - 88_200) < 2500  # mp3 pads its ends
    whole = decode(str(path), backend=backend)
    lossless = kind not in ("OGG", "MP3")
    for start, count in ((20_000, 30_000), (60_000, 100), (10_000, 20_000), (88_100, 500)):
        sounds, frames = read_parts(str(path), lambda *_: [(start, count)], backend=backend)  # noqa: B023
        expected = whole.samples[start : start + count]
        tolerance = 1e-6 if lossless or backend not in ("torchcodec", "pyav") else 1e-3
        np.testing.assert_allclose(sounds[0].samples[:100], expected[:100], atol=tolerance)
        if backend not in ("torchcodec", "pyav") or kind != "MP3":
            assert frames == len(whole.samples)
            assert len(sounds[0].samples) == len(expected)
    if lossless:
        np.testing.assert_allclose(whole.samples, stereo.mean(axis=1), atol=1e-4)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG"])
def test_truncated_files_are_refused(kind):
    data = encoded(clip(3.0), kind=kind)
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(BadSample, match=r"cut.bin: (truncated|damaged)"):
            decode(Blob(data[: int(len(data) * share)], "cut.bin"))


def test_flipped_bytes_never_escape_as_another_error():
    rng = np.random.Generator(np.random.Philox(0))
    for kind in ("WAV", "FLAC", "OGG", "MP3", "AIFF"):
        data = np.frombuffer(encoded(clip(0.3), kind=kind), np.uint8)
        for _ in range(15):
            bad = data.copy()
            bad[rng.integers(0, len(bad), 4)] = rng.integers(0, 256, 4)
            try:
                assert np.isfinite(decode(bad.tobytes()).samples).all()
            except BadSample as error:
                assert error.reason.startswith("audio bytes: ")  # noqa: PT017 (most flips still decode)


def test_streamed_wav_headers_are_no_truncation():
    data = bytearray(encoded(clip()))
    at = data.index(b"data")
    data[at + 4 : at + 8] = b"\xff\xff\xff\xff"
    assert len(decode(bytes(data)).samples) == 16_000


def test_resampling_keeps_tones_and_removes_what_does_not_fit():
    time = np.arange(44_100) / 44_100
    low, high = np.sin(2 * np.pi * 1000 * time), np.sin(2 * np.pi * 15_000 * time)
    changed = resample((low + high).astype(np.float32), 44_100, 16_000)
    assert len(changed) == 16_000
    expected = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(changed[500:-500], expected[500:-500], atol=2e-4)
    assert len(resample(np.zeros(1, np.float32), 16_000, 48_000)) == 3
    same = clip()
    assert resample(same, 16_000, 16_000) is same


def test_a_decoder_that_is_not_there_is_named(monkeypatch):
    import anyclip_audio.sources as sources

    assert "soundfile" in available()
    assert require_backend("auto") == "auto"
    monkeypatch.setattr(sources, "loads", lambda name: name == "soundfile")
    with pytest.raises(UserError, match=r"backend: torchcodec is not installed.*Use soundfile\. It needs the FFmpeg"):
        require_backend("torchcodec")


def test_what_only_ffmpeg_reads(tmp_path):
    import shutil
    import subprocess

    if not loads("torchcodec") or not shutil.which("ffmpeg"):
        pytest.skip("needs torchcodec with the FFmpeg libraries, and the ffmpeg program to write a file")
    samples = 0.5 * np.sin(2 * np.pi * 500 * np.arange(44_100) / 22_050).astype(np.float32)
    source = tmp_path / "x.wav"
    source.write_bytes(encoded(samples, 22_050))
    for name in ("x.m4a", "x.mka", "x.mp4"):
        picture = ["-f", "lavfi", "-i", "color=size=16x16:rate=5:duration=2"] if name == "x.mp4" else []
        made = ["ffmpeg", "-v", "error", *picture, "-i", str(source), "-c:a", "aac", str(tmp_path / name)]
        subprocess.run(made, check=True)
        for value in (str(tmp_path / name), (tmp_path / name).read_bytes()):
            sound = decode(value)
            assert abs(sound.seconds - 2.0) < 0.15
            spectrum = np.abs(np.fft.rfft(sound.samples))
            assert abs(spectrum.argmax() / sound.seconds - 500) < 1
        parts, _ = read_parts(str(tmp_path / name), lambda frames, rate: [(22_050, 11_025)])
        assert len(parts[0].samples) == 11_025


@pytest.mark.parametrize("backend", ["torchcodec", "pyav"])
def test_the_sound_of_a_video_and_parts_of_it(backend):
    """The same samples from both."""
    av = pytest.importorskip("av")
    if not loads(backend):
        pytest.skip(f"{backend} does not load here")
    samples, buffer = clip(4.0), io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        picture = file.add_stream("mpeg4", rate=8)
        picture.height = picture.width = 32
        voice = file.add_stream("aac", rate=16_000, layout="mono", bit_rate=128_000)
        for _ in range(32):
            file.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        file.mux(picture.encode())
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = 16_000
        file.mux([*voice.encode(frame), *voice.encode()])
    data = buffer.getvalue()
    whole = decode(data, backend=backend)
    assert (whole.rate, abs(whole.seconds - 4.0) < 0.1) == (16_000, True)
    first = decode(data, backend="torchcodec" if loads("torchcodec") else "pyav")
    np.testing.assert_allclose(whole.samples[:60_000], first.samples[:60_000], atol=1e-4)
    part = decode({"bytes": data, "path": None, "start": 1.0, "end": 2.5}, backend=backend)
    assert len(part.samples) == 24_000
    np.testing.assert_allclose(part.samples, whole.samples[16_000:40_000], atol=1e-3)
    with pytest.raises(BadSample, match="the part 5 s to None s is not in it: it has 4"):
        decode({"bytes": data, "path": None, "start": 5}, backend=backend)


def test_parts_of_a_sound(tmp_path):
    sound = clip(3.0)
    (tmp_path / "a.wav").write_bytes(encoded(sound))
    part = decode({"path": str(tmp_path / "a.wav"), "start": 0.5, "end": 2.0})
    np.testing.assert_allclose(part.samples, sound[8_000:32_000], atol=1e-4)
    assert len(decode({"array": sound, "sampling_rate": 16_000, "start": 2}).samples) == 16_000
    with pytest.raises(BadSample, match="start and end are numbers of seconds"):
        decode({"path": str(tmp_path / "a.wav"), "start": "x"})
