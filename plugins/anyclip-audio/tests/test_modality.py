"""The modality: hooks without torch, preview, content key, synthetic sounds."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from anyclip_audio.decode import decode
from anyclip_audio.preview import content_key, preview
from anyclip_audio.synthetic import render

from anyclip.readers import Blob
from anyclip.readers.scenes import CONTOURS, FACTORS, LOUDNESS, PITCHES, RHYTHMS, TIMBRES, Scene
from anyclip.registry import get_registry
from anyclip.registry.registry import resolve
from anyclip.testing import ModalityContract

from .conftest import clip, encoded

HEARD = ("pitch", "timbre", "loudness", "rhythm", "contour")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


class TestModality(ModalityContract):
    name = "audio"


def test_the_entry_module_and_the_options_import_nothing_heavy():
    code = (
        "import sys, anyclip_audio.plugin, anyclip_audio.options\n"
        "heavy = {'torch', 'transformers', 'soundfile', 'librosa', 'soxr', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'{heavy} imported' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_spec_resolves():
    registry = get_registry()
    spec = registry.modality("audio")
    for target in (spec.decode, spec.content_key, spec.preview, spec.synthetic):
        assert callable(resolve(target))
    assert [m.name for m in registry.modalities_of_suffix(".WAV")] == ["audio"]
    for part in registry.parts("tower"):
        if part.distribution == "anyclip-audio":
            registry.load("tower", part.spec.name)
            registry.build_options("tower", part.spec.name)


def test_preview_is_a_player_of_the_sound():
    samples = np.concatenate([np.zeros(16_000, np.float32), clip(1.0)])
    text = preview(Blob(encoded(samples), "a <b>.wav"))
    assert 'title="a &lt;b&gt;.wav"' in text
    data = base64.b64decode(re.search(r'src="data:audio/(?:mpeg|wav);base64,([^"]+)"', text).group(1))
    heard = decode(data)
    assert abs(heard.seconds - 2.0) < 0.2
    assert np.abs(heard.samples[: 16_000 - 2000]).max() < 0.05 < np.abs(heard.samples[16_000 + 2000 :]).max()
    bars = re.findall(r"M[\d.]+ ([\d.]+)V([\d.]+)", text)
    heights = [float(b) - float(a) for a, b in bars]
    assert len(heights) == 96
    assert max(heights[:47]) == 1.0
    assert max(heights[49:]) == 32.0


def test_preview_of_a_broken_value_says_so():
    assert preview(b"no sound <b>").startswith("<em>audio bytes: not a sound that can be read")
    assert "<audio" in preview((np.zeros(1, np.float32), 16_000))


def test_content_key_is_of_the_content(tmp_path):
    data = encoded(clip(), subtype="FLOAT")
    path = tmp_path / "x.wav"
    path.write_bytes(data)
    assert content_key(str(path)) == content_key(data) == content_key((clip(), 16_000))
    assert content_key((clip(), 16_000)) != content_key((clip(), 8_000)) != content_key((clip(seed=1), 8_000))
    assert len(content_key(io.BytesIO(data).getvalue())) == 32


def test_render_repeats_from_its_generator():
    scene = Scene({"timbre": "bell", "pitch": "high"})
    (one, rate), (two, _) = render(scene, rng(1)), render(scene, rng(1))
    assert rate == 16_000
    assert one.shape == (24_000,)
    assert one.dtype == np.float32
    assert np.array_equal(one, two)
    assert not np.array_equal(one, render(scene, rng(2))[0])
    assert render(scene, rng(), rate=8000, seconds=0.5)[0].shape == (4000,)


@pytest.mark.parametrize("factor", HEARD)
def test_each_factor_changes_the_sound(factor):
    base = {name: FACTORS[name][1] for name in HEARD}
    seen = {render(Scene({**base, factor: value}), rng())[0].tobytes() for value in FACTORS[factor]}
    assert len(seen) == len(FACTORS[factor])
    without = {name: value for name, value in base.items() if name != factor}
    assert render(Scene(without), rng())[0].shape == (24_000,)


def _peak_hz(samples: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 8 * len(samples)))
    return float(spectrum.argmax() * rate / (8 * len(samples)))


def test_the_sound_is_what_the_scene_says():
    for name, hz in PITCHES.items():
        samples, rate = render(Scene({"pitch": name, "timbre": "flute"}), rng(), detune=0.0)
        assert abs(_peak_hz(samples, rate) - hz) < 0.01 * hz
    for name, peak in LOUDNESS.items():
        for timbre in TIMBRES:
            samples, _ = render(Scene({"loudness": name, "timbre": timbre}), rng(), noise=0.0)
            assert np.abs(samples).max() == pytest.approx(peak, rel=1e-3)
    for name, ratio in CONTOURS.items():
        samples, rate = render(Scene({"contour": name, "pitch": "medium high"}), rng(), detune=0.0, noise=0.0)
        start, end = _peak_hz(samples[200:1800], rate), _peak_hz(samples[19_800:21_400], rate)
        assert end / start == pytest.approx(ratio ** (19_600 / 21_600), rel=0.03)
    for name, onsets in RHYTHMS.items():
        samples, _ = render(Scene({"rhythm": name}), rng(), noise=0.0)
        loud = np.abs(samples).reshape(-1, 240).max(axis=1) > 0.02  # 15 ms
        begins = np.flatnonzero(loud & ~np.roll(loud, 1)) / len(loud)
        np.testing.assert_allclose(begins, onsets, atol=0.02)


def test_factors_of_other_modalities_are_ignored():
    heard = {"timbre": "horn", "pitch": "low"}
    seen = {"shape": "heart", "colour": "pink"}
    assert np.array_equal(render(Scene(heard), rng())[0], render(Scene({**heard, **seen}), rng())[0])


def test_the_readme_example_runs(capsys):
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    example = re.search(r"```python\n(.*?)```", readme, re.DOTALL).group(1)
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out == "torch.Size([1, 1, 67, 64]) torch.Size([1, 64])\n"


def test_the_decoders_are_shown():
    shown = subprocess.run([sys.executable, "-m", "anyclip", "plugins", "modalities"], capture_output=True, text=True)
    assert re.search(
        r"audio .*\(decoded by soundfile, torchcodec(: not installed)?, av(: not installed)?, librosa", shown.stdout
    )
