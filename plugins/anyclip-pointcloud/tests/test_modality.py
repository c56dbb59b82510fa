"""The modality: hooks without heavy imports, preview, content key, synthetic solids."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from anyclip_pointcloud.decode import decode
from anyclip_pointcloud.preview import content_key, preview
from anyclip_pointcloud.solids import SOLIDS, solid
from anyclip_pointcloud.synthetic import render
from PIL import Image

from anyclip.readers import Blob
from anyclip.readers.scenes import COLOURS, FACTORS, POSITIONS, SIZES, Scene
from anyclip.registry import get_registry
from anyclip.registry.registry import resolve
from anyclip.testing import ModalityContract

from .conftest import cloud

SHOWN = ("shape", "colour", "size", "position", "background")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


class TestModality(ModalityContract):
    name = "pointcloud"


def test_the_entry_module_and_the_options_import_nothing_heavy():
    code = (
        "import sys, anyclip_pointcloud.plugin, anyclip_pointcloud.options\n"
        "heavy = {'torch', 'open3d', 'trimesh', 'plyfile', 'h5py', 'numpy', 'PIL'} & set(sys.modules)\n"
        "sys.exit(f'{heavy} imported' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_spec_resolves():
    registry = get_registry()
    spec = registry.modality("pointcloud")
    for target in (spec.decode, spec.content_key, spec.preview, spec.synthetic):
        assert callable(resolve(target))
    assert [m.name for m in registry.modalities_of_suffix(".ply")] == ["pointcloud"]


def _picture(text: str) -> np.ndarray:
    data = base64.b64decode(re.search(r'src="data:image/png;base64,([^"]+)"', text).group(1))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_preview_shows_three_views():
    points = np.zeros((400, 3), np.float32)
    points[:200, 0] = np.linspace(-1, 1, 200)  # a line to the right, red
    points[200:, 1] = np.linspace(0, 2, 200)  # a line upwards, blue
    colors = np.repeat([[1.0, 0, 0], [0, 0, 1.0]], 200, axis=0)
    pixels = _picture(preview({"points": points, "colors": colors})).astype(int)
    assert pixels.shape == (112, 336, 3)
    red = (pixels[:, :, 0] > pixels[:, :, 2] + 60).nonzero()
    blue = (pixels[:, :, 2] > pixels[:, :, 0] + 60).nonzero()
    front, side, top = (slice(i * 112, i * 112 + 112) for i in range(3))
    assert np.ptp(red[1][red[1] < 112]) > 90  # to the right in front
    assert np.median(blue[0][blue[1] < 112]) < np.median(red[0][red[1] < 112])  # above it
    assert np.ptp(blue[0][(blue[1] >= side.start) & (blue[1] < side.stop)]) > 90
    assert np.ptp(red[1][red[1] >= top.start]) > 90
    assert (pixels[:, front][:3] == 255).all()


def test_the_nearest_point_hides_the_others():
    points = np.array([[0, 0, 1.0], [0, 0, -1.0], [-1, -1, 0], [1, 1, 0]], np.float32)
    colors = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]], np.float32)
    pixels = _picture(preview({"points": points, "colors": colors})).astype(int)[:, :112]
    middle = pixels[50:62, 50:62].reshape(-1, 3)
    assert (middle[:, 0] > middle[:, 1] + 100).any()
    assert not (middle[:, 1] > middle[:, 0] + 20).any()


def test_preview_names_the_file_and_says_what_is_broken(tmp_path):
    np.save(tmp_path / "a <b>.npy", cloud(50))
    assert 'title="a &lt;b&gt;.npy: 50 points' in preview(str(tmp_path / "a <b>.npy"))
    assert preview(Blob(b"no points <b>", "x")).startswith("<em>x: not a point cloud that can be read")
    assert "<img" in preview(np.zeros((1, 3)))


def test_content_key_is_of_the_content(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, cloud())
    assert content_key(str(path)) == content_key(path.read_bytes()) == content_key(Blob(path.read_bytes(), "y.npy"))
    assert content_key(cloud()) == content_key({"points": cloud()}) != content_key(cloud(seed=1))
    assert content_key(cloud(columns=6)) != content_key(cloud(columns=6)[:, :3])
    assert content_key(f"{path}#1") != content_key(f"{path}#2")


def test_render_repeats_from_its_generator():
    scene = Scene({"shape": "star", "colour": "red"})
    one, two, other = render(scene, rng(1)), render(scene, rng(1)), render(scene, rng(2))
    assert one["points"].shape == one["colors"].shape == (1024, 3)
    assert one["points"].dtype == one["colors"].dtype == np.float32
    assert np.array_equal(one["points"], two["points"])
    assert not np.array_equal(one["points"], other["points"])
    assert render(scene, rng(), points=64)["points"].shape == (64, 3)


@pytest.mark.parametrize("factor", SHOWN)
def test_each_factor_changes_the_cloud(factor):
    base = {name: FACTORS[name][1] for name in SHOWN}
    seen = set()
    for value in FACTORS[factor]:
        found = render(Scene({**base, factor: value}), rng())
        seen.add(found["points"].tobytes() + found["colors"].tobytes())
    assert len(seen) == len(FACTORS[factor])
    render(Scene({name: value for name, value in base.items() if name != factor}), rng())


def test_the_cloud_is_what_the_scene_says():
    exact = {"noise": 0.0, "jitter": 0.0, "turn": 0.0, "tint": 0.0}
    for name, (x, y) in POSITIONS.items():
        found = render(
            Scene({"position": name, "size": "small", "colour": "blue", "background": "black"}), rng(), **exact
        )
        blue = np.abs(found["colors"] - np.array(COLOURS["blue"]) / 255).max(axis=1) < 1e-3
        assert blue.sum() == 1024 - round(0.3 * 1024)
        np.testing.assert_allclose(found["points"][blue].mean(axis=0), (x - 0.5, 0.5 - y, 0), atol=0.02)
        assert (found["points"][~blue][:, 2] < -0.2).all()  # the wall, behind
    for name, extent in SIZES.items():
        points = render(Scene({"size": name}), rng(), **exact)["points"]
        ball = points[points[:, 2] > -0.29]
        assert np.ptp(ball[:, 0]) == pytest.approx(extent, rel=0.03)


def test_solids_have_the_outline_of_their_shape():
    assert set(SOLIDS) == set(FACTORS["shape"])
    for shape in SOLIDS:
        points = solid(shape, 4000, rng())
        assert points.shape == (4000, 3)
        assert 0.55 < np.abs(points).max() <= 1.01
    radius = np.linalg.norm(solid("circle", 500, rng()), axis=1)
    np.testing.assert_allclose(radius, 1.0)
    around = np.hypot(*solid("ring", 2000, rng())[:, :2].T)
    assert around.min() > 0.43  # a hole
    cube = np.abs(solid("square", 4000, rng()))
    np.testing.assert_allclose(cube.max(axis=1), 0.8, atol=1e-6)
    faces = [np.isclose(cube[:, i], 0.8, atol=1e-6).mean() for i in range(3)]
    np.testing.assert_allclose(faces, 1 / 3, atol=0.03)  # uniform by area
    cone = solid("triangle", 20_000, rng())
    base = np.isclose(cone[:, 1], -0.9)
    assert base.mean() == pytest.approx(0.95 / (0.95 + np.hypot(0.95, 1.8)), abs=0.02)
    with pytest.raises(KeyError):
        solid("teapot", 10, rng())


def test_factors_of_other_modalities_are_ignored():
    seen = {"shape": "heart", "colour": "pink"}
    heard = {"timbre": "horn", "pitch": "low"}
    assert np.array_equal(render(Scene(seen), rng())["points"], render(Scene({**heard, **seen}), rng())["points"])


def test_a_scene_decodes():
    found = decode(render(Scene({"shape": "ring"}), rng()))
    assert found.points.shape == (1024, 3)
    assert found.colors is not None


def test_the_readme_examples_run(capsys):
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    for example in re.findall(r"```python\n(.*?)```", readme, re.DOTALL):
        exec(compile(example, "README.md", "exec"), {})
    printed = "torch.Size([1, 1024, 3]) torch.Size([1, 1024, 3]) torch.Size([1, 256])\n"
    assert capsys.readouterr().out == printed


def test_the_examples_of_the_guide_run():
    guide = Path(__file__).parents[3] / "docs" / "pointcloud.md"
    if not guide.is_file():
        pytest.skip(f"the guide is not there: {guide}")
    (example,) = re.findall(r"```python\n(.*?)```", guide.read_text(), re.DOTALL)
    names: dict = {}
    exec(compile(example, "pointcloud.md", "exec"), names)
    assert names["centers"].shape == (2, 128, 3)
    assert names["patches"].shape == (2, 128, 32, 3)
    assert names["balls"].shape == (2, 128, 32)
