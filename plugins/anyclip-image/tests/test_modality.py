"""The modality: hooks without torch, preview, content key, synthetic pictures."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from anyclip_image.preview import content_key, preview
from anyclip_image.synthetic import render
from PIL import Image

from anyclip.readers import Blob
from anyclip.readers.scenes import COLOURS, DEFAULT_FACTORS, FACTORS, POSITIONS, SIZES, Scene
from anyclip.registry import get_registry
from anyclip.registry.registry import resolve

from .conftest import photo


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def test_the_entry_module_and_the_options_import_nothing_heavy():
    code = (
        "import sys, anyclip_image.plugin, anyclip_image.options\n"
        "heavy = {'torch', 'transformers', 'timm', 'open_clip', 'torchvision', 'PIL', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'{heavy} imported' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_spec_resolves():
    registry = get_registry()
    spec = registry.modality("image")
    for target in (spec.decode, spec.content_key, spec.preview, spec.synthetic):
        assert callable(resolve(target))
    assert all(prompt.count("{}") == 1 for prompt in spec.prompts)
    assert [m.name for m in registry.modalities_of_suffix(".JPG")] == ["image"]
    for part in registry.parts("tower"):
        if part.distribution == "anyclip-image":
            registry.load("tower", part.spec.name)
            registry.build_options("tower", part.spec.name)


def test_the_readme_example_runs(capsys):
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    example = re.search(r"```python\n(.*?)```", readme, re.DOTALL).group(1)
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out == "torch.Size([1, 64]) torch.Size([1, 16, 64])\n"


def test_preview_is_self_contained():
    found = re.fullmatch(
        r'<img src="data:image/jpeg;base64,([^"]+)" width="128" height="64" alt="a &lt;b&gt;.png" title="[^"]+">',
        preview(Blob(_png(photo(200, 400)), "a <b>.png")),
    )
    thumbnail = Image.open(io.BytesIO(base64.b64decode(found.group(1))))
    assert thumbnail.size == (128, 64)
    original = Image.fromarray(photo(200, 400)).resize((128, 64), Image.Resampling.BICUBIC)
    assert np.abs(np.asarray(thumbnail).astype(int) - np.asarray(original)).mean() < 8


def test_preview_of_a_broken_value_says_so():
    assert preview(b"no image <b>") == "<em>image bytes: not an image in a format that can be read</em>"
    assert 'width="128" height="1"' in preview(photo(1, 4000))


def test_content_key_is_of_the_content(tmp_path):
    data = _png(photo())
    path = tmp_path / "x.png"
    path.write_bytes(data)
    assert content_key(str(path)) == content_key(data) == content_key(Blob(data, "other"))
    assert content_key(photo()) == content_key(Image.fromarray(photo()))
    assert content_key(photo()) != content_key(photo(seed=1))
    assert content_key(np.zeros((2, 8, 3), np.uint8)) != content_key(np.zeros((8, 2, 3), np.uint8))


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_render_repeats_from_its_generator():
    scene = Scene({"shape": "star", "colour": "red"})
    one, two = render(scene, rng(1)), render(scene, rng(1))
    assert one.shape == (64, 64, 3)
    assert one.dtype == np.uint8
    assert np.array_equal(one, two)
    assert not np.array_equal(one, render(scene, rng(2)))
    assert render(scene, rng(), size=40).shape == (40, 40, 3)


@pytest.mark.parametrize("factor", DEFAULT_FACTORS)
def test_each_factor_changes_the_picture(factor):
    base = {name: FACTORS[name][1] for name in DEFAULT_FACTORS}
    still = {"noise": 0.0, "jitter": 0.0, "turn": 0.0, "tint": 0.0}
    seen = {render(Scene({**base, factor: value}), rng(), **still).tobytes() for value in FACTORS[factor]}
    assert len(seen) == len(FACTORS[factor])
    without = {name: value for name, value in base.items() if name != factor}
    assert render(Scene(without), rng()).shape == (64, 64, 3)


def test_the_picture_shows_what_the_scene_says():
    for colour in FACTORS["colour"]:
        for position, (x, y) in POSITIONS.items():
            scene = Scene({"shape": "square", "colour": colour, "size": "large", "position": position})
            picture = render(scene, rng(), noise=0.0, tint=0.0)
            assert np.abs(picture[int(64 * y), int(64 * x)].astype(int) - COLOURS[colour]).max() <= 1
            assert np.abs(picture[1 if y > 0.5 else -2, 1 if x > 0.5 else -2].astype(int) - COLOURS["white"]).max() <= 1
    shares = []
    for size in SIZES:
        picture = render(Scene({"shape": "circle", "colour": "blue", "size": size}), rng(), noise=0.0)
        shares.append((picture[:, :, 0] < 140).mean())
    expected = [np.pi / 4 * share**2 for share in SIZES.values()]
    assert np.allclose(shares, expected, rtol=0.15)


def test_factors_of_other_modalities_are_ignored():
    seen = {"shape": "heart", "colour": "pink"}
    heard = {"timbre": "bell", "pitch": "high", "motion": "moving left"}
    assert np.array_equal(render(Scene(seen), rng()), render(Scene({**seen, **heard}), rng()))
