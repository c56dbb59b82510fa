"""The modality: hooks without torch, contact sheets, content keys, moving scenes with and without sound."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys

import numpy as np
import pytest
from anyclip_video.decode import decode
from anyclip_video.preview import content_key, preview
from anyclip_video.synthetic import path, render
from anyclip_video.writing import _with_torchcodec, write_video
from PIL import Image

from anyclip.readers import Blob
from anyclip.readers.scenes import FACTORS, MOTIONS, Scene
from anyclip.registry import get_registry
from anyclip.registry.registry import resolve
from anyclip.testing import ModalityContract

from .conftest import number_of, numbered


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


class TestModality(ModalityContract):
    name = "video"


def test_the_entry_module_and_the_options_import_nothing_heavy():
    code = (
        "import sys, anyclip_video.plugin, anyclip_video.options\n"
        "heavy = {'torch', 'transformers', 'torchcodec', 'decord', 'av', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'{heavy} imported' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_modality_says_its_decoders_and_endings():
    registry = get_registry()
    spec = registry.modality("video")
    assert spec.backends == ("torchcodec", "decord", "av")
    for target in (spec.decode, spec.content_key, spec.preview, spec.synthetic):
        assert callable(resolve(target))
    assert "video" in [m.name for m in registry.modalities_of_suffix(".MP4")]


def test_a_contact_sheet_shows_the_video_in_order():
    text = preview(Blob(write_video(numbered(200, 96, 160), 25.0), "a <b>.mp4"))
    assert 'title="a &lt;b&gt;.mp4"' in text
    data = base64.b64decode(re.search(r'src="data:image/jpeg;base64,([^"]+)"', text).group(1))
    sheet = np.asarray(Image.open(io.BytesIO(data)))
    assert sheet.shape == (48, 4 * 80 + 3 * 2, 3)
    ramps = [sheet[40, i * 82 + 1].mean() for i in range(4)]
    wanted = [numbered(200, 96, 160)[i, 80, 2].mean() for i in (0, 66, 132, 199)]
    np.testing.assert_allclose(ramps, wanted, atol=25)


def test_the_preview_of_a_broken_value_says_so():
    assert preview(b"no video <b>").startswith("<em>video bytes: not a video that can be read")


def test_content_keys_are_of_the_content(tmp_path):
    data = write_video(numbered(10), 8.0)
    (tmp_path / "a.mp4").write_bytes(data)
    file = str(tmp_path / "a.mp4")
    keys = {content_key(value) for value in (file, data, Blob(data, "b.mp4"), {"bytes": data, "path": None})}
    assert len(keys) == 1
    assert content_key(numbered(10)) == content_key((numbered(10), 8.0))
    parts = [content_key({"path": file, "start": start}) for start in (0, 0.5)]
    assert len({*keys, *parts, content_key(numbered(9)), content_key(numbered(10))}) == 5


def centre_and_extent(frame: np.ndarray) -> tuple[float, float, float]:
    """x, y and width of what is not white, in shares of the canvas."""
    ys, xs = np.nonzero(frame.astype(int).min(axis=2) < 128)
    return xs.mean() / frame.shape[1], ys.mean() / frame.shape[0], (np.ptp(xs) + 1) / frame.shape[1]


@pytest.mark.parametrize("motion", MOTIONS)
def test_motions_move_as_their_words_say(motion):
    clip, fps = render(Scene({"colour": "blue", "shape": "triangle", "motion": motion}), rng(), noise=0, turn=0)
    assert (clip.shape, clip.dtype, fps) == ((16, 64, 64, 3), np.uint8, 8.0)
    (x, y, width), (x2, y2, width2) = centre_and_extent(clip[0]), centre_and_extent(clip[-1])
    change = MOTIONS[motion]
    assert x2 - x == pytest.approx(change.get("x", 0), abs=0.05)
    assert width2 / width == pytest.approx(change.get("scale", 1), rel=0.1)
    if "turn" in change:  # upside down at the end, on another side half-way
        np.testing.assert_allclose(centre_and_extent(clip[-1][::-1])[1], y, atol=0.06)
        lean = centre_and_extent(clip[8])[0] - x
        assert lean * change["turn"] > 0 or abs(lean) > 0.01
    elif "scale" not in change:
        assert y2 - y == pytest.approx(change.get("y", 0), abs=0.05)
    else:
        assert y2 == pytest.approx(y, abs=0.05)


def test_the_order_of_two_motions_is_seen_and_only_the_order():
    """The two captions hold the same words; the frames of the one are those of the other, rolled by half."""
    there, back = (
        render(Scene({"colour": "red", "motion": one, "then": two}), rng(), noise=0, jitter=0)[0]
        for one, two in (("moving left", "moving right"), ("moving right", "moving left"))
    )
    assert centre_and_extent(there[8])[0] < centre_and_extent(there[0])[0] < centre_and_extent(back[8])[0]
    words = [
        Scene({"motion": a, "then": b}).describe()
        for a, b in (("growing", "turning left"), ("turning left", "growing"))
    ]
    assert words == ["something, growing and then turning left", "something, turning left and then growing"]
    state = path("moving left", "growing", 9)
    np.testing.assert_allclose(state[:, 0], [0, -0.075, -0.15, -0.225, -0.3, -0.3, -0.3, -0.3, -0.3])
    np.testing.assert_allclose(state[[0, 4, 8], 2], [1, 1, 2])


def test_the_object_stays_on_the_canvas():
    for number, (motion, then) in enumerate((a, b) for a in MOTIONS for b in MOTIONS):
        size, position = FACTORS["size"][number % 3], FACTORS["position"][number % 9]
        scene = Scene({"colour": "red", "size": size, "position": position, "motion": motion, "then": then})
        clip, _ = render(scene, rng(number), noise=0, frames=7)
        edge = np.concatenate([clip[:, 0], clip[:, -1], clip[:, :, 0], clip[:, :, -1]], axis=1)
        assert edge.min() > 120, scene
        widths = [centre_and_extent(frame)[2] for frame in clip]
        assert min(widths) > 0.05, scene


@pytest.mark.parametrize("shape", FACTORS["shape"])
def test_a_turning_shape_stays_on_the_canvas(shape):
    for motion in ("turning left", "turning right"):
        scene = Scene({"colour": "red", "size": "large", "position": "bottom right", "motion": motion, "shape": shape})
        clip, _ = render(scene, rng(), noise=0, frames=12)
        assert np.concatenate([clip[:, 0], clip[:, -1], clip[:, :, 0], clip[:, :, -1]], axis=1).min() > 120


def test_a_sound_track_is_heard_and_the_file_is_the_same_every_time():
    pytest.importorskip("av")
    audio = pytest.importorskip("anyclip_audio.decode")
    scene = Scene({"colour": "red", "motion": "growing", "pitch": "high", "timbre": "flute", "loudness": "loud"})
    file, again = (render(scene, rng(), sound=True) for _ in range(2))
    assert isinstance(file, Blob)
    assert file == again
    silent = render(scene, rng())[0]
    assert np.abs(decode(file).astype(int) - silent).mean() < 8
    sound = audio.decode(file)
    assert sound.seconds == pytest.approx(2.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(sound.samples[: sound.rate]))
    assert spectrum.argmax() == pytest.approx(880, rel=0.03)


@pytest.mark.parametrize("writer", ["pyav", "torchcodec"])
def test_what_is_written_is_read_again(writer):
    pytest.importorskip({"pyav": "av"}.get(writer, writer))
    clip = numbered(30)
    tone = (np.sin(np.arange(16_000) / 10).astype(np.float32) / 2, 16_000)
    data = write_video(clip, 15.0, tone) if writer == "pyav" else _with_torchcodec(iter(clip), 15.0, tone, 18, 12)
    found = decode(data)
    assert [number_of(frame) for frame in found] == list(range(30))
    assert decode(write_video(numbered(5, 47, 63), 8.0)).shape == (5, 46, 62, 3)
