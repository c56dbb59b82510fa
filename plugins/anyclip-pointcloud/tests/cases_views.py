"""Tiny configurations of the towers that look at pictures; the contract tests run over all of them."""

from __future__ import annotations

OWN = {
    "name": "image/open_clip",
    "options": {
        "model": {
            "embed_dim": 24,
            "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16},
        },
        "output": "projected",
    },
}
CNN = {"name": "image/timm", "options": {"model": "test_resnet", "image_size": 32}}
SHARED = {"ref": "image/open_clip"}
SMALL = {"points": 200, "image_size": 32}

# name -> (tower, options)
CASES: dict[str, tuple[str, dict]] = {
    "pointclip": ("pointcloud/pointclip", {**SMALL, "image": SHARED, "canvas": 32}),
    "pointclip-weights": (
        "pointcloud/pointclip",
        {**SMALL, "image": CNN, "canvas": 24, "view_weights": [1, 0.5, 0, 1, 1, 0.25], "learn_weights": True},
    ),
    "pointclip-adapter": ("pointcloud/pointclip", {**SMALL, "image": OWN, "views": 10, "adapter": "inter_view"}),
    "pointclip_v2": (
        "pointcloud/pointclip_v2",
        {**SMALL, "image": OWN, "resolution": 34, "view_weights": "modelnet40_vit_b16"},
    ),
    "clip2point": ("pointcloud/clip2point", {**SMALL, "image": OWN, "radius": 0.06}),
    "clip2point-selector": ("pointcloud/clip2point", {**SMALL, "image": CNN, "radius": 0.06, "selector": 8}),
    "clip2point-dual": (
        "pointcloud/clip2point",
        {**SMALL, "image": OWN, "original": OWN, "radius": 0.06, "views": [[0, 0], [90, 30]], "adapter": True},
    ),
}
