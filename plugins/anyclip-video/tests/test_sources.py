"""One contract over all decoders: the asked frames, the same in each, however the file is given."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from anyclip_video.decode import Request, decode, read_windows
from anyclip_video.sampling import Sampling
from anyclip_video.sources import MODULES, available, open_video, require_backend
from anyclip_video.writing import write_video

from anyclip.errors import BadSample, UserError
from anyclip.readers import Blob

from .conftest import expected_videos, number_of, numbered

BACKENDS = [
    pytest.param(name, marks=pytest.mark.skipif(name not in available(), reason=f"no {name}")) for name in MODULES
]


def frames_of(value, backend="auto", **sampling) -> np.ndarray:
    return np.stack(read_windows(value, Sampling(**{"frames": 8, **sampling}), Request(backend), shrink=np.copy)[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_exactly_the_asked_frames_wherever_they_are(long_video, backend):
    source, _, _ = open_video(long_video, backend)
    with source:
        assert (source.count, source.rate) == (500, pytest.approx(25.0))
        assert (source.begin, source.end) == (0, pytest.approx(20.0))
        for asked in ([0], [499], [3, 4, 5, 59, 60, 61, 250, 498], [7], list(range(118, 124))):
            assert [number_of(frame) for frame in source.read(asked)] == asked
        seconds = [0.0, 0.039, 0.041, 9.98, 10.02, 19.99]
        assert [number_of(frame) for frame in source.read_at(seconds)] == [0, 0, 1, 249, 250, 499]


@pytest.mark.parametrize("backend", BACKENDS)
def test_bytes_and_urls_are_files(long_video, tmp_path, backend):
    data = write_video(numbered(20), 8.0)
    (tmp_path / "a.mp4").write_bytes(data)
    for value in (data, Blob(data, "a.mp4"), {"bytes": data, "path": None}, f"file://{tmp_path}/a.mp4"):
        assert [number_of(frame) for frame in frames_of(value, backend)] == [0, 2, 5, 8, 10, 13, 16, 19]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("row", expected_videos(), ids=lambda row: row["file"].split("/")[1])
def test_odd_files_give_the_same_frames_or_say_why_not(broken, backend, row):
    """Bit for bit as the first decoder; ten bits a colour are brought to eight in another way by each FFmpeg."""
    path = str(broken / row["file"].split("/")[1])
    if not row["expect"].startswith("ok") or row["file"].endswith("corrupt_middle.mp4"):
        with pytest.raises(BadSample) as caught:
            frames_of(path, backend)
        assert caught.value.reason.startswith(f"{path}: ")
        return
    for by in ("index", "time"):
        found, first = frames_of(path, backend, by=by), frames_of(path, available()[0], by=by)
        assert found.shape == first.shape
        ten_bits = row["file"].endswith("ten_bit.mp4")
        assert np.abs(found.astype(int) - first).mean() <= (5 if ten_bits else 0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_real_files_give_the_same_frames(real, backend):
    for name in ("carphone.mp4", "tree_5s.avi", "vtest_4s.webm"):
        path = str(real / name)
        np.testing.assert_array_equal(frames_of(path, backend, frames=3), frames_of(path, available()[0], frames=3))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_rotation_in_the_metadata_is_applied(broken, backend):
    assert frames_of(str(broken / "rotated90.mp4"), backend).shape[1:3] == (96, 64)
    assert frames_of(str(broken / "good.mp4"), backend).shape[1:3] == (64, 96)


@pytest.mark.parametrize("backend", BACKENDS)
def test_by_time_and_by_index_differ_at_a_variable_rate(broken, backend):
    """12 frames at 8 a second, then 12 at 2: half of the numbers are in the first fifth of the time."""
    path, whole = str(broken / "vfr.mp4"), decode(str(broken / "vfr.mp4"))
    places = {
        by: [
            int(np.abs(whole.astype(int) - frame).mean((1, 2, 3)).argmin()) for frame in frames_of(path, backend, by=by)
        ]
        for by in ("index", "time")
    }
    assert places["index"] == [0, 3, 6, 9, 13, 16, 19, 23]
    assert sum(found < 12 for found in places["time"]) <= 3


def test_parts_of_a_file(long_video):
    value = {"path": long_video, "start": 4.0, "end": 8.0}
    assert [number_of(frame) for frame in frames_of(value, frames=4)] == [100, 133, 166, 199]
    assert [number_of(frame) for frame in frames_of({"path": long_video, "start": 19.0}, frames=2)] == [475, 499]
    by_time = [number_of(frame) for frame in frames_of(value, frames=4, by="time")]
    assert by_time == [100, 133, 166, 199]
    for start, end, part in ((30, None, "30 s to the end"), (5, 5, "5 s to 5 s"), (-1, 3, "-1 s to 3 s")):
        with pytest.raises(BadSample, match=f"the part {part} is not in it: it has 20.000 s"):
            frames_of({"path": long_video, "start": start, "end": end})
    with pytest.raises(BadSample, match="start is a number of seconds, not 'x'"):
        frames_of({"path": long_video, "start": "x"})


def test_arrays_tensors_lists_and_folders(tmp_path):
    import torch
    from PIL import Image

    clip = numbered(12)
    for i, frame in enumerate(clip):
        Image.fromarray(frame).save(tmp_path / f"frame{i}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    pictures = [str(tmp_path / f"frame{i}.png") for i in range(12)]
    tensor = torch.from_numpy(clip).permute(0, 3, 1, 2)
    for value in (clip, tensor, (clip, 8.0), {"array": clip, "fps": 8}, str(tmp_path), tmp_path, pictures, list(clip)):
        assert [number_of(frame) for frame in frames_of(value, frames=4)] == [0, 3, 7, 11]
    assert [number_of(f) for f in frames_of({"array": clip, "fps": 4, "start": 1, "end": 2}, frames=4)] == [4, 5, 6, 7]
    grey = frames_of(clip[..., 0], frames=2)
    np.testing.assert_array_equal(grey, np.repeat(clip[[0, 11], :, :, :1], 3, axis=3))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (
            np.zeros((4, 8, 8, 7)),
            r"an array is \[T, H, W, 3\], a tensor \[T, 3, H, W\]; this is float64 \[4, 8, 8, 7\]",
        ),
        (np.zeros((0, 8, 8, 3), np.uint8), r"this is uint8 \[0, 8, 8, 3\]"),
        ([], "list of frames: has no frames"),
        ((np.zeros((2, 8, 8, 3), np.uint8), 0), "frames a second are a positive number, not 0"),
        (3.5, "a video is a path, bytes, an array .* or a list of pictures, not float"),
        ("nowhere.mp4", "nowhere.mp4: no such file"),
        (b"not a video at all", "video bytes: not a video that can be read"),
    ],
)
def test_values_that_are_no_video(value, reason):
    with pytest.raises(BadSample, match=reason):
        frames_of(value)


def test_a_folder_without_pictures_is_named(tmp_path):
    with pytest.raises(BadSample, match=f"{tmp_path}: a folder without pictures"):
        frames_of(str(tmp_path))


@pytest.mark.parametrize("backend", BACKENDS)
def test_frames_above_the_limit_are_refused(long_video, backend):
    with pytest.raises(BadSample, match=r"64 x 48 pixels is above the limit of 3000 \(option max_pixels\)"):
        read_windows(long_video, Sampling(frames=2), Request(backend, max_pixels=3000), shrink=np.copy)


def test_decode_refuses_to_hold_a_film(long_video, monkeypatch):
    assert decode(long_video).shape == (500, 48, 64, 3)
    monkeypatch.setattr("anyclip_video.decode._MOST_BYTES", 1 << 20)
    with pytest.raises(BadSample, match=r"ask for fewer \(decode\(value, frames=16\)\)"):
        decode(long_video)
    assert len(decode(long_video, frames=16)) == 16


def test_a_decoder_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr("anyclip_video.sources.loads", lambda name: name == "pyav")
    with pytest.raises(UserError) as caught:
        require_backend("torchcodec")
    assert str(caught.value) == (
        "backend: torchcodec is not installed or does not load. Use pyav. It needs the FFmpeg libraries.\n"
        "  next: pip install torchcodec"
    )
    assert require_backend("auto") == "auto"
    monkeypatch.setattr("anyclip_video.sources.loads", lambda name: False)
    with pytest.raises(UserError, match="no decoder of videos is installed"):
        require_backend("auto")


def test_auto_takes_the_next_decoder_where_one_cannot_open(long_video, monkeypatch):
    from anyclip_video import torchcodec_source

    def refuse(self, file, name, **more):
        raise BadSample(f"{name}: not today")

    monkeypatch.setattr(torchcodec_source.TorchcodecSource, "__init__", refuse)
    source, _, _ = open_video(long_video)
    with source:
        assert type(source).__name__ != "TorchcodecSource"
        assert number_of(next(source.read([17]))) == 17


def _numbers_in_worker(path: str, backend: str) -> list[int]:
    return [number_of(frame) for frame in frames_of(path, backend)]


@pytest.mark.slow
def test_workers_decode_after_their_parent_did(long_video):
    wanted = {backend: _numbers_in_worker(long_video, backend) for backend in available()}
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for backend, numbers in wanted.items():
            assert pool.submit(_numbers_in_worker, long_video, backend).result(timeout=120) == numbers


MEMORY = """
import gc, resource, sys
import numpy as np
from anyclip_video.decode import Request, read_windows
from anyclip_video.sampling import Sampling

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20

def opens(count):
    for _ in range(count):
        read_windows(sys.argv[1], Sampling(frames=4), Request(sys.argv[2]), shrink=lambda x: x[:1, :1])

opens(50)
gc.collect()
before = resident()
opens(500)
gc.collect()
print(resident() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_500_opens_keep_no_memory(tmp_path, backend):
    (tmp_path / "a.mp4").write_bytes(write_video(numbered(24, 96, 128), 8.0))
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "a.mp4"), backend]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 30


@pytest.mark.parametrize("backend", BACKENDS)
def test_few_frames_are_held_at_a_time(long_video, monkeypatch, backend):
    """Decoded pixels come in parts of at most CHUNK_BYTES, and one part does not change the frames of the next."""
    monkeypatch.setattr("anyclip_video.source.CHUNK_BYTES", 3 * 48 * 64 * 3)
    asked = [3, 9, 100, 101, 102, 230, 499]
    source, _, _ = open_video(long_video, backend)
    with source:
        source.size = source.size or (48, 64)
        assert [len(part) for part in source.chunks(asked)] == [3, 3, 1]
        assert [number_of(frame) for frame in source.read(asked)] == asked
