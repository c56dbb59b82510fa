"""Checkpoints in the layouts of ULIP, ULIP-2 and Uni3D become models with the same values."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch.nn import functional as F

from anyclip.checkpoint import open_model
from anyclip.checkpoint.importing import import_checkpoint_file
from anyclip.errors import CheckpointError
from anyclip.towers import create_tower

from .cases_points import CASES

pytest.importorskip("anyclip_image")
pytest.importorskip("anyclip_text")

SCALE = 2.345678
POINTBERT = {**CASES["pointbert"][1], "feature": "concat"}
CLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 64, "layers": 1, "head_width": 64},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1},
}


def randomised(tower):
    with torch.no_grad():
        for name, value in tower.state_dict().items():
            if value.is_floating_point():
                value += 0.05 * torch.randn_like(value)
            if name.endswith("running_var"):
                value.clamp_(min=0.5)
    return tower.eval()


def encoder_state(tower):
    """A point encoder's tensors under the published names."""
    return {f"point_encoder.{name}": value for name, value in tower.model.state_dict().items()}


def ulip_state(tower, dim=16, **more):
    found = {"pc_projection": torch.randn(tower.width, dim), "logit_scale": torch.tensor(SCALE)}
    return {**encoder_state(tower), **found, **more}


def points(tower, n=3):
    given = {"points": F.normalize(torch.randn(n, 60, 3), dim=-1)}
    return {**given, "colors": torch.rand(n, 60, 3)} if tower.processor.colors else given


def same_points(model, tower, expected):
    """The imported model's features of points are those of the tower it comes from."""
    inputs = points(tower)
    with torch.no_grad():
        found = model.features("points", model.encode("points", inputs))
        torch.testing.assert_close(found, expected(tower(inputs).pooled))


@pytest.mark.parametrize(
    ("case", "untold"),
    [
        ("pointbert", ("points", "num_heads", "num_group", "group_size")),
        ("pointnet2", ("points", "centres", "radius")),
        ("pointnet2-msg", ("points", "centres", "radius")),
        ("pointmlp", ("points", "k_neighbors", "start_points")),
        ("pointmlp-elite", ("points", "k_neighbors", "start_points", "affine")),
    ],
)
def test_ulip_reads_the_encoder_and_its_sizes_off_the_tensors(case, untold):
    name, options = CASES[case]
    options = POINTBERT if case == "pointbert" else options
    tower = randomised(create_tower(name, **options))
    state = ulip_state(tower)
    given = {key: options.get(key) for key in untold}
    model, config = import_checkpoint_file("ulip", state, options={"point": given})
    assert config.model.towers["points"].name == name
    same_points(model, tower, lambda pooled: pooled @ state["pc_projection"])


def test_a_published_ulip_config_is_recognised():
    from anyclip_pointcloud.importers.point_encoders import tower_of

    tower = create_tower("pointcloud/pointbert", trans_dim=384, depth=2, points=10_000, colors=True)
    found = tower_of(tower.model.state_dict(), {}, where="x")["options"]
    asked = {"points": 10_000, "colors": True, "num_heads": 6, "depth": 2, "encoder_dims": 256}
    assert {key: found[key] for key in asked} == asked
    mlp = tower_of(create_tower("pointcloud/pointmlp").model.state_dict(), {}, where="x")["options"]
    assert create_tower("pointcloud/pointmlp", **mlp).model.counts == [512, 256, 128, 64]
    assert mlp["points"] == 8192


def test_ulip_2_brings_the_clip_inside_the_file(tmp_path):
    from open_clip.model import CLIP as OpenClip

    colored = {**POINTBERT, "colors": True}
    tower, clip = randomised(create_tower("pointcloud/pointbert", **colored)), OpenClip(**json.loads(json.dumps(CLIP)))
    inside = {f"open_clip_model.{name}": value for name, value in clip.eval().state_dict().items()}
    state = {f"module.{k}": v for k, v in {**ulip_state(tower, 24), **inside}.items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "ulip2.pt")
    given = {key: colored[key] for key in ("points", "num_heads", "num_group", "group_size")}
    out = tmp_path / "model"
    options = {"point": given, "clip_config": CLIP}
    import_checkpoint_file("ulip-2", tmp_path / "ulip2.pt", out, options=options)
    model, config = open_model(out)
    same_points(model, tower, lambda pooled: pooled @ state["module.pc_projection"])
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            model.features("image", model.encode("image", {"pixels": pixels})), clip.encode_image(pixels)
        )
    assert [o.pair for o in config.objectives] == [["points", "image"], ["points", "text"]]
    assert config.objectives[0].scale.init == pytest.approx(math.exp(SCALE))
    assert config.objectives[0].scale.share == config.objectives[1].scale.share == "points"


def uni3d_state(tower):
    """With what timm's transformer has besides."""
    idle = {
        "point_encoder.visual.patch_embed.proj.weight": torch.zeros(24, 3, 14, 14),
        "point_encoder.visual.pos_embed": torch.zeros(1, 5, 24),
        "point_encoder.visual.cls_token": torch.zeros(1, 1, 24),
        "point_encoder.visual.head.weight": torch.zeros(10, 24),
    }
    return {**encoder_state(tower), **idle, "logit_scale": torch.tensor(SCALE)}


UNI3D = {**CASES["uni3d-projected"][1], "model": "eva02_tiny_patch14_224", "colors": True}
UNTOLD = {key: UNI3D[key] for key in ("points", "num_group", "group_size", "model", "args")}


def test_uni3d_leaves_out_the_image_input(tmp_path):
    tower = randomised(create_tower("pointcloud/uni3d", **UNI3D))
    torch.save({"module": uni3d_state(tower)}, tmp_path / "model.pt")
    model, config = import_checkpoint_file("uni3d", tmp_path / "model.pt", options={"point": UNTOLD})
    same_points(model, tower, lambda pooled: pooled)
    assert config.objectives == []
    assert model.streams == ["points"]


def test_uni3d_with_the_clip_of_another_file(tmp_path):
    from open_clip.model import CLIP as OpenClip

    clip = {**CLIP, "embed_dim": 20}
    tower, pair = randomised(create_tower("pointcloud/uni3d", **UNI3D)), OpenClip(**json.loads(json.dumps(clip)))
    torch.save(pair.state_dict(), tmp_path / "clip.pt")
    options = {"point": UNTOLD, "clip": str(tmp_path / "clip.pt"), "clip_config": clip}
    model, config = import_checkpoint_file("uni3d", uni3d_state(tower), options=options)
    assert model.streams == ["points", "image", "text"]
    assert config.model.towers["text"].freeze is True


@pytest.mark.parametrize(
    ("layout", "state", "reason"),
    [
        ("ulip", {"logit_scale": torch.zeros(())}, "lacks pc_projection"),
        (
            "ulip-2",
            {"pc_projection": torch.zeros(2, 2), "logit_scale": torch.zeros(()), "x": torch.zeros(1)},
            "none of",
        ),
        ("uni3d", {"logit_scale": torch.zeros(())}, r"lacks point_encoder\.cls_token"),
    ],
)
def test_other_layouts_are_named(layout, state, reason):
    with pytest.raises(CheckpointError, match=reason):
        import_checkpoint_file(layout, state)


def test_a_clip_of_another_width_and_an_unknown_size_are_refused(tmp_path):
    tower = create_tower("pointcloud/uni3d", **UNI3D)
    with pytest.raises(CheckpointError, match="no published Uni3D is 24 wide"):
        import_checkpoint_file("uni3d", uni3d_state(tower))
    options = {"point": UNTOLD, "clip": str(tmp_path / "none.pt"), "clip_config": CLIP}
    with pytest.raises(CheckpointError, match="20 dimensions, that CLIP has 24"):
        import_checkpoint_file("uni3d", uni3d_state(tower), options=options)


def test_a_tensor_that_fits_nowhere_is_named():
    tower = create_tower("pointcloud/pointbert", **POINTBERT)
    given = {key: POINTBERT[key] for key in ("points", "num_heads", "num_group", "group_size")}
    with pytest.raises(CheckpointError, match=r"1 tensors are unexpected:\s+extra"):
        import_checkpoint_file("ulip", ulip_state(tower, extra=torch.zeros(2)), options={"point": given})
