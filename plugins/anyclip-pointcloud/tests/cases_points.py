"""Tiny configurations of the towers that see the points themselves; the contract tests run over all of them."""

from __future__ import annotations

from anyclip_pointcloud.plugin import _TOWERS

_TINY = {name: tiny for name, _, _, _, tiny, _ in _TOWERS}
NAMES = ("pointnet", "pointnet2", "pointmlp", "pointbert", "uni3d")
_COLORS = {"colors": True}
_BOTH = {"colors": True, "normals": True}

# name -> (tower, options)
CASES: dict[str, tuple[str, dict]] = {
    **{name: (f"pointcloud/{name}", _TINY[name]) for name in NAMES},
    "pointnet-both": ("pointcloud/pointnet", {**_TINY["pointnet"], **_BOTH, "feature": "max+mean", "dropout": 0.1}),
    "pointnet2-msg": ("pointcloud/pointnet2", {**_TINY["pointnet2"], "variant": "msg"}),
    "pointnet2-colors": ("pointcloud/pointnet2", {**_TINY["pointnet2"], **_COLORS}),
    "pointmlp-elite": (
        "pointcloud/pointmlp",
        {**_TINY["pointmlp"], **_COLORS, "res_expansion": 0.5, "use_xyz": True, "affine": "center", "start_points": 24},
    ),
    "pointmlp-plain": ("pointcloud/pointmlp", {**_TINY["pointmlp"], "affine": "none", "bias": True}),
    "pointbert-colored": ("pointcloud/pointbert", {**_TINY["pointbert"], **_COLORS, "feature": "concat"}),
    "pointbert-cls": ("pointcloud/pointbert", {**_TINY["pointbert"], "feature": "cls", "skip_origin": False}),
    "uni3d-projected": ("pointcloud/uni3d", {**_TINY["uni3d"], "output": "projected", "dim": 20, "colors": False}),
    "uni3d-base": ("pointcloud/uni3d", {**_TINY["uni3d"], "size": "base"}),
    "uni3d-vit": (
        "pointcloud/uni3d",
        {**_TINY["uni3d"], "model": "vit_tiny_patch16_224", "args": {"img_size": 32, "embed_dim": 24, "depth": 2}},
    ),
}
