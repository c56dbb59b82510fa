"""What the towers that see the points themselves promise beyond the kit."""

from __future__ import annotations

import pytest
import torch

from anyclip.errors import ConfigError, UserError
from anyclip.towers import create_tower

from .cases_points import CASES
from .conftest import cloud


def build(case, **more):
    name, options = CASES[case]
    return create_tower(name, **{**options, **more}).eval()


def inputs(tower, n=2):
    return tower.processor.collate([tower.processor.load(cloud(60, seed=i, columns=6)) for i in range(n)])


@pytest.mark.parametrize("case", CASES)
def test_the_order_of_the_points_does_not_matter_but_for_the_first(case):
    """Sampling starts at point 0; no two distances of these clouds are equal, and groups are sets."""
    tower = build(case)
    if "msg" in case or "pointnet2" in case:
        tower.model.sa1.radius = tower.model.sa2.radius = 0.1  # a ball takes the first points in it: none too many
        for part in (tower.model.sa1, tower.model.sa2):
            if hasattr(part, "radii"):
                part.radii = (0.05, 0.1, 0.1)
    given = inputs(tower)
    order = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(given["points"].shape[1] - 1)])
    with torch.no_grad():
        plain, turned = tower(given).pooled, tower({name: x[:, order] for name, x in given.items()}).pooled
    torch.testing.assert_close(turned, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", ["pointbert", "uni3d", "uni3d-vit", "pointmlp", "pointnet2", "pointnet"])
def test_layers_on_request(case):
    tower = build(case)
    with torch.no_grad():
        found = tower(inputs(tower), layers=(0, -1)).layers
    assert set(found) == {0, -1}
    assert all(x.ndim == 3 and len(x) == 2 for x in found.values())
    with pytest.raises(UserError, match="layer 9 is asked"):
        tower(inputs(tower), layers=(9,))


def test_tokens_come_with_a_pooled_of_their_width():
    tower = build("pointbert")
    with torch.no_grad():
        found = tower(inputs(tower))
        torch.testing.assert_close(found.tokens[:, 1:].amax(dim=1), found.pooled)
        assert build("pointbert-colored")(inputs(build("pointbert-colored"))).tokens is None
        found = build("uni3d")(inputs(build("uni3d")))
    torch.testing.assert_close(found.tokens[:, 0], found.pooled)


def test_points_near_the_origin_are_no_centres_unless_first():
    from anyclip_pointcloud.pointbert_patches import patches

    points = torch.from_numpy(cloud(30))[None] * 0.5
    points[0, 7] = torch.tensor([0.01, 0.0, 0.02])
    chosen = {skip: patches(points, None, 30, 4, skip_origin=skip)[0] for skip in (True, False)}
    assert (chosen[False] == points[0, 7]).all(dim=-1).any()
    assert not (chosen[True] == points[0, 7]).all(dim=-1).any()
    points[0, 0] = 0.001
    assert torch.equal(patches(points, None, 3, 4, skip_origin=True)[0][0, 0], points[0, 0])


def test_patches_are_relative_in_space_and_keep_other_channels():
    from anyclip_pointcloud.pointbert_patches import patches

    points, colors = torch.randn(2, 40, 3), torch.rand(2, 40, 3)
    centres, found = patches(points, colors, 5, 40, skip_origin=False)
    torch.testing.assert_close(
        (found[..., :3] + centres[:, :, None]).sum(2), points.sum(1, keepdim=True).expand(-1, 5, -1)
    )
    torch.testing.assert_close(found[..., 3:].sum(2), colors.sum(1, keepdim=True).expand(-1, 5, -1))


def test_patch_dropout_drops_in_training_only():
    tower = build("uni3d", patch_dropout=0.5)
    with torch.no_grad():
        assert tower(inputs(tower)).tokens.shape[1] == 9
        assert tower.train()(inputs(tower)).tokens.shape[1] == 5


def test_pointmlp_thins_from_start_points_however_many_there_are():
    tower = build("pointmlp", points=60, start_points=32)
    with torch.no_grad():
        assert tower(inputs(tower), layers=(0,)).layers[0].shape[1] == 16


@pytest.mark.parametrize("name", ["tiny", "small"])
def test_uni3d_takes_a_published_transformer_without_its_image_input(name):
    tower = create_tower("pointcloud/uni3d", size=name, args={"depth": 1}, num_group=4, group_size=4, points=32)
    names = {n.removeprefix("model.visual.").split(".")[0] for n, _ in tower.named_parameters() if ".visual." in n}
    assert names == {"blocks", "fc_norm"}
    assert tower.width == {"tiny": 192, "small": 384}[name]


@pytest.mark.parametrize(
    ("case", "options", "reason"),
    [
        ("pointbert", {"num_group": 60}, "num_group 60 is more than the 48 points"),
        ("pointbert", {"trans_dim": 25}, "no multiple of num_heads"),
        ("pointnet2", {"centres": [60, 8]}, "cannot be chosen from 48 points"),
        ("pointnet2", {"centres": [8]}, "centres takes 2 numbers"),
        ("pointmlp", {"k_neighbors": [6, 30]}, "asks 30 of the 24 points"),
        ("pointmlp", {"k_neighbors": [6]}, "k_neighbors has 1"),
        ("pointmlp", {"start_points": 90}, "start_points 90 is more than"),
        ("pointnet", {"channels": []}, "channels needs a layer"),
    ],
)
def test_sizes_that_do_not_fit_are_named(case, options, reason):
    with pytest.raises(ConfigError, match=reason):
        build(case, **options)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model": "vit_tiny_patch16_22"}, "timm has no"),
        ({"model": "resnet18", "args": {}}, "no plain vision transformer"),
        ({"args": {"depht": 1}}, "cannot be built so"),
        ({"pretrained": "nowhere.pt"}, "there is no file nowhere.pt"),
    ],
)
def test_transformers_that_cannot_be_had_are_named(options, reason):
    with pytest.raises(UserError, match=reason):
        build("uni3d", **options)
