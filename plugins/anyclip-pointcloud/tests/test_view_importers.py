"""PointCLIP's adapter and CLIP2Point's files become models; what does not belong together is refused by name."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from anyclip_pointcloud.importers.view_adapters import INTER_VIEW, SIMPLIFIED
from anyclip_pointcloud.inter_view_adapter import InterViewAdapter
from anyclip_pointcloud.simplified_adapter import SimplifiedAdapter
from safetensors.torch import save_file
from torch.nn import functional as F

from anyclip.checkpoint import open_model
from anyclip.checkpoint.importing import import_checkpoint_file
from anyclip.errors import CheckpointError

from .conftest import SHARED, cloud

open_clip = pytest.importorskip("open_clip")
pytest.importorskip("anyclip_image")
pytest.importorskip("anyclip_text")

DIM = 24
POINT = {"points": 64}
CLIP = {
    "embed_dim": DIM,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 64, "layers": 1, "head_width": 64},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1},
    "quick_gelu": True,
}


def random(module: torch.nn.Module) -> torch.nn.Module:
    """Weights that are no first weights, so that a tensor in the wrong place shows."""
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) * 0.2 + 0.1)
    return module.eval()


@pytest.fixture(scope="module")
def clip():
    torch.manual_seed(3)
    return open_clip.CLIP(**CLIP).eval()


@pytest.fixture
def clip_file(clip, tmp_path) -> str:
    file = tmp_path / "clip.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in clip.state_dict().items()}, file)
    return str(file)


def published(module: torch.nn.Module, table: dict[str, str], prefix: str = "") -> dict[str, torch.Tensor]:
    """A module's state under the published names."""
    back = {ours: theirs for theirs, ours in table.items()}
    found = {}
    for name, tensor in module.state_dict().items():
        ours = next(part for part in back if name.startswith(part))
        found[prefix + back[ours] + name[len(ours) :]] = tensor
    return found


def test_a_clip_alone_sees_views(clip, tmp_path):
    model, config = import_checkpoint_file("pointclip", clip.state_dict(), tmp_path / "out", options={"point": POINT})
    assert model.streams == ["image", "text", "points"]
    assert model.tower("points").image is model.tower("image")
    assert config.model.towers["image"].freeze is True
    again, _ = open_model(tmp_path / "out")
    assert again.tower("points").image is again.tower("image")
    points = {"points": torch.from_numpy(cloud(64))[None]}
    with torch.no_grad():
        maps = model.tower("points").shown(model.tower("points").pictures(points["points"]))
        want = F.normalize(clip.encode_image(maps[0]), dim=-1).sum(0)
        found, reopened = (m.features("points", m.encode("points", points))[0] for m in (model, again))
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(reopened, found, rtol=0, atol=0)
    assert not any(name.startswith("towers.points") for name in again.state_dict())  # saved once


def test_an_adapter_with_its_clip(clip, clip_file):
    adapter = random(InterViewAdapter(10, DIM))
    state = {"state_dict": published(adapter, INTER_VIEW), "epoch": 3}
    model, config = import_checkpoint_file("pointclip", state, options={"clip": clip_file, "point": POINT})
    assert config.model.towers["points"].options["views"] == 10
    features = torch.randn(2, 10, DIM)
    with torch.no_grad():
        torch.testing.assert_close(model.tower("points").adapter(features), adapter(features))
    trains = {name for name, p in model.tower("points").named_parameters() if p.requires_grad}
    assert trains == {f"adapter.{name}" for name, _ in adapter.named_parameters()}


def test_what_pointclip_refuses(clip, clip_file):
    state = published(InterViewAdapter(10, DIM), INTER_VIEW)
    with pytest.raises(CheckpointError, match=r"adapter alone.*option clip"):
        import_checkpoint_file("pointclip", state)
    with pytest.raises(CheckpointError, match="no tower pointclip_v2"):
        import_checkpoint_file("pointclip", state, options={"clip": clip_file, "tower": "pointclip_v2"})
    with pytest.raises(CheckpointError, match="adapter of 3 views"):
        import_checkpoint_file("pointclip", published(InterViewAdapter(3, DIM), INTER_VIEW))
    other, more = published(InterViewAdapter(10, 16), INTER_VIEW), {**state, "view_f.4.weight": torch.zeros(2, 2)}
    with pytest.raises(CheckpointError, match="adapter is 16 wide, that CLIP 24"):
        import_checkpoint_file("pointclip", other, options={"clip": clip_file})
    with pytest.raises(CheckpointError, match=r"view_f\.4\.weight"):
        import_checkpoint_file("pointclip", more, options={"clip": clip_file})
    del state["view_f.0.bias"]
    with pytest.raises(CheckpointError, match=r"missing:\n.*deepen.bias"):
        import_checkpoint_file("pointclip", state, options={"clip": clip_file})
    with pytest.raises(CheckpointError, match="neither an adapter of PointCLIP nor OpenAI's CLIP"):
        import_checkpoint_file("pointclip", {"x": torch.zeros(1)})


def visual(clip, prefix: str, shift: float = 0.0) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": tensor + shift for name, tensor in clip.visual.state_dict().items()}


def cameras(views: int) -> dict[str, torch.Tensor]:
    return {f"selector.view_selector.views_{name}": torch.zeros(views) for name in ("azim", "elev", "dist")}


def test_clip2point_of_the_pre_training(clip, clip_file):
    state = {**visual(clip, "module.point_model.", 0.01), **visual(clip, "module.image_model.")}
    state |= {f"module.{name}": x for name, x in cameras(6).items()} | {"module.weights": torch.ones([])}
    alone, config = import_checkpoint_file("clip2point", state, options={"point": POINT})
    assert alone.streams == ["image", "points"]
    assert config.model.towers["points"].options["turn"] is True
    whole, _ = import_checkpoint_file("clip2point", state, options={"point": POINT, "clip": clip_file})
    assert whole.streams == ["image", "text", "points"]
    pixels = {"pixels": torch.randn(2, 3, 32, 32)}
    with torch.no_grad():
        want = clip.encode_image(pixels["pixels"])
        for model in (alone, whole):
            torch.testing.assert_close(model.encode("image", pixels).pooled, want, rtol=1e-4, atol=1e-5)
            assert not torch.allclose(model.tower("points").image(pixels).pooled, want, atol=1e-3)


def test_clip2point_of_the_dual_path_adapter(clip, clip_file):
    adapters = [random(SimplifiedAdapter(10, DIM)) for _ in range(2)]
    state = {**visual(clip, "pre_model.", 0.01), **visual(clip, "ori_model."), **cameras(10)}
    for i, adapter in enumerate(adapters, start=1):
        state |= published(adapter, SIMPLIFIED, f"adapter{i}.")
    model, _ = import_checkpoint_file("clip2point", state, options={"point": POINT, "clip": clip_file})
    tower = model.tower("points")
    assert tower.original is model.tower("image")
    points = {"points": torch.from_numpy(cloud(64))[None]}
    with torch.no_grad():
        shown = tower.shown(tower.pictures(points["points"]))
        paths = zip(adapters, (tower.image, model.tower("image")))
        want = torch.stack([adapter(tower.seen_by(image, shown)) for adapter, image in paths]).mean(0)
        torch.testing.assert_close(model.encode("points", points).pooled, want)


def test_what_clip2point_refuses(clip):
    state = {**visual(clip, "point_model."), **visual(clip, "image_model.")}
    with pytest.raises(CheckpointError, match="not CLIP2Point's layout"):
        import_checkpoint_file("clip2point", visual(clip, "image_model."))
    with pytest.raises(CheckpointError, match="cameras are learned"):
        import_checkpoint_file("clip2point", {**state, "selector.feature_extractor.fe_model.x": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="unexpected:\n  oops"):
        import_checkpoint_file("clip2point", {**state, "oops": torch.zeros(1)}, options={"point": POINT})


@pytest.mark.parametrize("system", ["pointclip", "pointclip_v2", "clip2point"])
def test_recorded_values_of_the_originals(system):
    """The whole comparison is tests/parity_pointcloud_views.py; here it runs with the plugin's tests."""
    path = SHARED / "reference" / "pointcloud" / f"{system}.json"
    if not path.is_file():
        pytest.skip(f"the reference file is not there: {path}")
    sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests"))
    try:
        import parity_pointcloud

        lines = list(parity_pointcloud.run(path, json.loads(path.read_text())))
    finally:
        sys.path.pop(0)
    assert len(lines) >= 4
    assert not [str(line) for line in lines if line.status != "pass"]
