"""Tiny configurations of every image tower; the contract tests run over all of them."""

from __future__ import annotations

VIT = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16}
HF = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}
CONVNEXT = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32]}


def clip(**vision) -> dict:
    return {"embed_dim": 24, "vision_cfg": {**VIT, **vision}}


def hf(kind: str, **more) -> dict:
    values = {"model_type": kind, **HF, **more}
    if kind.startswith("dinov2"):  # sizes its MLP by a ratio
        del values["intermediate_size"]
    return values


# name -> (tower, options, patch tokens or None, whether tokens can be dropped)
CASES: dict[str, tuple[str, dict, int | None, bool]] = {
    "oc-vit": ("image/open_clip", {"model": clip()}, 16, True),
    "oc-vit-projected": ("image/open_clip", {"model": clip(), "output": "projected"}, 16, True),
    "oc-vit-mean": ("image/open_clip", {"model": clip(), "pool": "mean"}, 16, True),
    "oc-coca": ("image/open_clip", {"model": clip(attentional_pool=True, attn_pooler_queries=5)}, 4, False),
    "oc-wide": ("image/open_clip", {"model": clip(), "image_size": [32, 48]}, 24, True),
    "oc-resnet": (
        "image/open_clip",
        {"model": {"embed_dim": 24, "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16}}},
        None,
        False,
    ),
    "oc-timm": (
        "image/open_clip",
        {
            "model": {"embed_dim": 24, "vision_cfg": {"timm_model_name": "test_vit", "timm_pool": "token"}},
            "image_size": 64,
            "output": "projected",
        },
        16,
        True,
    ),
    "oc-timm-cnn": (
        "image/open_clip",
        {"model": {"embed_dim": 24, "vision_cfg": {"timm_model_name": "test_resnet", "image_size": 64}}},
        4,
        False,
    ),
    "timm-vit": ("image/timm", {"model": "test_vit", "image_size": 64}, 16, True),
    "timm-vit-map": ("image/timm", {"model": "test_vit", "image_size": 64, "pool": "map"}, 16, True),
    "timm-vit-mean": ("image/timm", {"model": "test_vit2", "image_size": 64, "pool": "mean"}, 16, True),
    "timm-convnext": ("image/timm", {"model": "test_convnext", "image_size": 64}, 4, False),
    "timm-resnet": ("image/timm", {"model": "test_resnet", "image_size": 64}, 4, False),
    "timm-efficientnet": ("image/timm", {"model": "test_efficientnet", "image_size": 64}, 4, False),
    "timm-mobilenet": (
        "image/timm",
        {"model": "mobilenetv3_small_050", "image_size": 64, "args": {"drop_rate": 0.1}},
        None,
        False,
    ),
    "timm-swin": (
        "image/timm",
        {
            "model": "swin_tiny_patch4_window7_224",
            "image_size": 64,
            "args": {"embed_dim": 16, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4},
        },
        64,
        False,
    ),
    "hf-clip": ("image/transformers", {"model": hf("clip_vision_model", projection_dim=24)}, 16, True),
    "hf-clip-projected": (
        "image/transformers",
        {"model": hf("clip_vision_model", projection_dim=24), "output": "projected"},
        16,
        True,
    ),
    "hf-clip-mean": ("image/transformers", {"model": hf("clip_vision_model"), "pool": "mean"}, 16, True),
    "hf-siglip": ("image/transformers", {"model": hf("siglip_vision_model")}, 16, True),
    "hf-siglip-mean": ("image/transformers", {"model": hf("siglip_vision_model"), "pool": "mean"}, 16, True),
    "hf-vit": ("image/transformers", {"model": hf("vit")}, 16, True),
    "hf-vit-cls": ("image/transformers", {"model": hf("vit"), "pool": "cls"}, 16, True),
    "hf-dinov2": ("image/transformers", {"model": hf("dinov2")}, 16, True),
    "hf-registers": ("image/transformers", {"model": hf("dinov2_with_registers")}, 16, True),
    "hf-convnext": (
        "image/transformers",
        {"model": {"model_type": "convnext", **CONVNEXT}, "image_size": 64},
        4,
        False,
    ),
    "tv-resnet": ("image/torchvision", {"model": "resnet18", "image_size": 64}, 4, False),
    "tv-mobilenet": (
        "image/torchvision",
        {"model": "mobilenet_v3_small", "image_size": 64, "pool": "mean", "args": {"width_mult": 0.5}},
        4,
        False,
    ),
    "tv-shufflenet": ("image/torchvision", {"model": "shufflenet_v2_x0_5", "image_size": 64}, 4, False),
}
DROPPERS = [name for name, case in CASES.items() if case[3]]
