"""Projections on clouds whose picture is known, weights, sharing, what the options refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from anyclip_pointcloud.depth_projection import DepthProjection
from anyclip_pointcloud.depth_render import DepthRender
from anyclip_pointcloud.preview import preview
from anyclip_pointcloud.realistic_projection import RealisticProjection
from anyclip_pointcloud.view_pictures import depth_strip
from anyclip_pointcloud.views import SIX_VIEWS, look_at, rotation

from anyclip.config.schema import ModelConfig, TowerConfig
from anyclip.errors import ConfigError, UserError
from anyclip.model import build_model
from anyclip.towers import create_tower

from .cases_views import OWN, SMALL
from .conftest import cloud

pytest.importorskip("anyclip_image")


def points(n: int = 200, rows: int = 2) -> dict[str, torch.Tensor]:
    return {"points": torch.stack([torch.from_numpy(cloud(n, seed=i)) for i in range(rows)])}


def test_rotations_turn_the_right_way():
    quarter = rotation([[0, 0, math.pi / 2]])[0]
    torch.testing.assert_close(quarter @ torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0]), atol=1e-6, rtol=0)
    matrices = rotation(torch.rand(5, 3) * 6)
    torch.testing.assert_close(matrices @ matrices.mT, torch.eye(3).expand(5, 3, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.linalg.det(matrices), torch.ones(5))


def test_a_camera_sees_the_origin_in_the_middle():
    azim, elev = torch.tensor([0.0, 30.0, 0.0]), torch.tensor([0.0, 45.0, 90.0])
    axes, centre = look_at(azim, elev, torch.full((3,), 2.0))
    torch.testing.assert_close((-centre[:, None] @ axes)[:, 0], torch.tensor([[0.0, 0, 2]] * 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(axes.mT @ axes, torch.eye(3).expand(3, 3, 3), atol=1e-5, rtol=0)


def test_one_point_is_one_pixel_with_its_depth():
    project = DepthProjection(SIX_VIEWS[:1], size=9, distance=2.0)
    picture = project(torch.zeros(1, 1, 3))[0, 0]
    assert picture[4, 4] == 2.0
    assert int((picture > 0).sum()) == 1
    two = project(torch.tensor([[[0.0, 0, -0.5], [0, 0, 0.5]]]))[0, 0]  # 1.5 and 2.5 behind one pixel
    assert two[4, 4] == pytest.approx(2 / (1 / 1.5 + 1 / 2.5))
    assert not project(torch.tensor([[[50.0, 0, 0], [0, 0, -3.0]]])).any()  # outside, and behind the camera


def test_the_upper_end_is_up_in_every_picture():
    """A small ball above a large one: +y is the top of side views."""
    lower, upper = torch.from_numpy(cloud(400)) * 0.5, torch.from_numpy(cloud(100, seed=1)) * 0.1
    both = torch.cat([lower - torch.tensor([0.0, 0.3, 0]), upper + torch.tensor([0.0, 0.6, 0])])[None]
    sides = {
        "pointclip": DepthProjection(SIX_VIEWS[:4], size=32, distance=1.6)(both)[0] > 0,
        "v2": RealisticProjection(size=34)(both)[0, 4:8] < 1,
        "clip2point": DepthRender(size=32, radius=0.06, turn=False)(
            both, torch.tensor([[0.0, 90, 180, 270]]), torch.zeros(1, 4), torch.ones(1, 4)
        )[0]
        < 1,
    }
    # view 0 and 2 of PointCLIP look along the axis; the other two see the object from above and below
    for name, views in (("pointclip", (0, 2)), ("v2", (0, 2)), ("clip2point", (0, 1, 2, 3))):
        for view in views:
            rows = sides[name][view].any(dim=1).nonzero()[:, 0]
            widths = sides[name][view].sum(dim=1)[rows]
            half = len(rows) // 2
            assert widths[:half].sum() < widths[half:].sum(), (name, view)


def test_the_nearest_disc_wins_and_the_rest_is_white():
    render = DepthRender(size=33, radius=0.1, turn=False)
    camera = torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1)
    near_and_far = torch.tensor([[[0.0, 0, 0.5], [0, 0, -0.5], [0.5, 0.5, 0]]])  # the camera stands at z = 1
    zbuf = render.rasterize(torch.tensor([[[0.0, 0, 0.5], [0, 0, 1.5], [0.5, 0.5, 1.0], [0, 0, -1]]]))[0]
    assert zbuf[16, 16] == 0.5
    assert zbuf[8, 8] == 1.0  # +x is left, +y up
    assert zbuf[0, 32] == -1
    area = int((zbuf == 0.5).sum())
    assert area == pytest.approx(math.pi * (0.1 * 33 / 2) ** 2, rel=0.2)
    picture = render(near_and_far, *camera)[0, 0]
    assert picture[16, 16] == 0.0  # nearest: dark
    assert picture[0, 32] == 1.0
    assert 0 < picture[8, 24] < 200 / 255  # seen from +z, +x is on the right


def test_many_points_in_parts_are_rendered_alike(monkeypatch):
    seen = torch.rand(4, 50, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    render = DepthRender(size=24, radius=0.08)
    whole = render.rasterize(seen)
    monkeypatch.setattr("anyclip_pointcloud.depth_render._CELLS", 1)
    assert torch.equal(render.rasterize(seen), whole)


def test_a_cloud_without_extent_has_finite_pictures():
    one = torch.zeros(1, 7, 3)
    for picture in (RealisticProjection(size=34)(one), DepthProjection(SIX_VIEWS, size=16, distance=1.6)(one)):
        assert torch.isfinite(picture).all()
        assert picture.std() > 0


def test_projected_views_are_one_picture():
    strip = depth_strip(cloud(3000) * [1.0, 2.0, 1.0] + [5e5, 2e6, 0], side=40)
    assert strip.shape == (40, 240)
    assert strip.dtype == np.uint8
    views = np.split(strip, 6, axis=1)
    assert all(view[0, 0] == 255 and view[20, 20] < 200 and view.min() == 0 for view in views)
    assert np.isfinite(depth_strip(np.zeros((1, 3)))).all()
    html = preview({"points": cloud(50)})
    assert html.count("<img") == 2
    assert 'width="336" height="56"' in html


def model(**more) -> ModelConfig:
    shared = {"name": "pointcloud/pointclip", "options": {**SMALL, "canvas": 32, "image": {"ref": "image"}, **more}}
    towers = {"points": TowerConfig(**shared, projection="identity"), "image": TowerConfig(**OWN)}
    return ModelConfig(dim=24, towers=towers)


def test_a_shared_image_tower_is_one_and_saved_once(tmp_path):
    joint = build_model(model(adapter="inter_view"))
    assert joint.tower("points").image is joint.tower("image")
    names = [name for name, _ in joint.named_parameters()]
    assert not [name for name in names if name.startswith("towers.points.image")]
    assert [name for name in names if name.startswith("towers.points.adapter")]
    assert not [name for name in joint.state_dict() if name.startswith("towers.points.image")]
    joint.save_assets(tmp_path)
    assert not (tmp_path / "points" / "image").exists()
    again = build_model(model(adapter="inter_view"), assets=tmp_path, load_weights=False, seed=1)
    again.load_state_dict(joint.state_dict())
    for m in (joint, again):
        m.eval()
    with torch.no_grad():
        torch.testing.assert_close(again.embed("points", points()), joint.embed("points", points()))


def test_only_the_adapter_learns_beside_a_frozen_image_tower():
    config = model(adapter="inter_view")
    config.towers["image"].freeze = True
    joint = build_model(config)
    assert joint.trainable("points")
    joint.embed("points", points()).sum().backward()
    got = {name for name, p in joint.named_parameters() if p.grad is not None}
    assert got == {n for n, _ in joint.named_parameters() if n.startswith("towers.points.adapter")}
    assert not joint.tower("image").training


def test_weights_weigh_views():
    plain = create_tower("pointcloud/pointclip", **SMALL, image=OWN, canvas=32).eval()
    only = create_tower("pointcloud/pointclip", **SMALL, image=OWN, canvas=32, view_weights=[0, 0, 2, 0, 0, 0]).eval()
    only.load_state_dict(plain.state_dict())
    with torch.no_grad():
        a, b = plain(points()), only(points())
    torch.testing.assert_close(a.pooled, a.tokens.sum(1))
    torch.testing.assert_close(b.pooled, 2 * a.tokens[:, 2])
    torch.testing.assert_close(a.tokens.norm(dim=-1), torch.ones(2, 6))


def test_distance_changes_in_training_only():
    tower = create_tower("pointcloud/clip2point", **SMALL, image=OWN, radius=0.06, jitter_distance=0.3, views=[[0, 0]])
    tower.eval()
    same = [tower.pictures(points()["points"]) for _ in range(2)]
    assert torch.equal(*same)
    tower.train()
    other = [tower.pictures(points()["points"]) for _ in range(2)]
    assert not torch.equal(*other)


def test_learned_cameras_start_at_the_given_ones_and_get_a_gradient():
    build = {"image": OWN, "radius": 0.06, **SMALL}
    fixed = create_tower("pointcloud/clip2point", **build).eval()
    learned = create_tower("pointcloud/clip2point", **build, selector=8).eval()
    cloud_points = points()["points"]
    torch.testing.assert_close(learned.pictures(cloud_points), fixed.pictures(cloud_points))
    learned.pictures(cloud_points).square().sum().backward()
    assert learned.selector.move[-1].weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("tower", "options", "message"),
    [
        ("pointclip", {"view_weights": [1, 1]}, "2 weights for 6 views"),
        ("pointclip", {"view_weights": [0] * 6}, "every view has weight 0"),
        ("pointclip", {"view_weights": "modelnet40_vit_b16"}, "no published weights"),
        ("pointclip", {"colors": True}, "colors do nothing"),
        ("pointclip", {"image": {"ref": "image", "name": "image/timm"}}, "one of them"),
        ("pointclip_v2", {"view_weights": "vit"}, "known: modelnet40_vit_b16"),
        ("pointclip_v2", {"kernel": 4}, "kernel must be odd"),
        ("clip2point", {"views": [[0]]}, "a list of \\[azimuth, elevation\\]"),
        ("clip2point", {"original": OWN}, "needs adapter: true"),
        ("clip2point", {"adapter": True, "learn_weights": True}, "leaves nothing for view_weights"),
    ],
)
def test_options_that_cannot_be(tower, options, message):
    with pytest.raises(ConfigError, match=message):
        create_tower(f"pointcloud/{tower}", **options)


def test_a_tower_that_sees_no_pictures_is_refused():
    with pytest.raises(UserError, match="takes other inputs, not square pictures"):
        create_tower("pointcloud/pointclip", image={"name": "toy/mlp"})
    wide = {"name": "image/open_clip", "options": {**OWN["options"], "image_size": [32, 48]}}
    with pytest.raises(UserError, match=r"pixels of shape \[1, 3, 32, 48\]"):
        create_tower("pointcloud/pointclip", image=wide)
    with pytest.raises(UserError, match="image: there is no stream 'image'"):
        create_tower("pointcloud/pointclip", image={"ref": "image"})
