"""Tiny configurations of every video tower; the contract tests run over all of them."""

from __future__ import annotations

VIT = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16}
PARTS = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
CLIP = {"hidden_size": 24, "image_size": 32, "patch_size": 16, "num_frames": 4, **PARTS}
BERT = {"model_type": "bert", "hidden_size": 24, "vocab_size": 8, "hidden_dropout_prob": 0.0, **PARTS}
BERT["attention_probs_dropout_prob"] = 0.0
VIVIT = {"model_type": "vivit", **{k: v for k, v in CLIP.items() if k != "patch_size"}, "tubelet_size": [2, 16, 16]}
XCLIP = {
    "model_type": "xclip",
    "projection_dim": 16,
    "prompt_num_attention_heads": 2,
    "vision_config": {
        **CLIP,
        "mit_hidden_size": 16,
        "mit_intermediate_size": 32,
        "mit_num_hidden_layers": 1,
        "mit_num_attention_heads": 2,
    },
    "text_config": {"hidden_size": 16, "vocab_size": 20, "max_position_embeddings": 8, **PARTS},
}


def open_clip(**vision) -> dict:
    return {
        "name": "image/open_clip",
        "options": {"model": {"embed_dim": 24, "vision_cfg": {**VIT, **vision}}, "output": "projected"},
    }


RESNET = {"name": "image/open_clip", "options": {"model": {"embed_dim": 24, "vision_cfg": {}}, "output": "projected"}}
RESNET["options"]["model"]["vision_cfg"] = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32}

# name -> (tower, options)
FRAMES: dict[str, tuple[str, dict]] = {
    "frames-mean": ("video/frames", {"frame": open_clip(), "frames": 4, "short": "pad"}),
    "frames-lstm": ("video/frames", {"frame": open_clip(), "frames": 4, "short": "pad", "head": "seqLSTM"}),
    "frames-transformer": (
        "video/frames",
        {"frame": open_clip(), "frames": 4, "short": "pad", "head": "seqTransf", "head_layers": 1, "tokens": "frames"},
    ),
    "frames-resnet": ("video/frames", {"frame": RESNET, "frames": 3, "normalize": False, "head": "seqLSTM"}),
    "frames-3d": ("video/frames", {"frame": open_clip(), "frames": 4, "short": "pad", "stem": "3d", "chunk": 3}),
    "frames-3d-timm": (
        "video/frames",
        {
            "frame": {"name": "image/timm", "options": {"model": "test_vit", "image_size": 32}},
            "frames": 3,
            "stem": "3d",
        },
    ),
    "frames-windows": (
        "video/frames",
        {"frame": open_clip(), "frames": 3, "sampling": "dense", "windows": 2, "short": "pad"},
    ),
}
TRANSFORMERS: dict[str, tuple[str, dict]] = {
    "videomae": ("video/transformers", {"model": {"model_type": "videomae", **CLIP}}),
    "timesformer": ("video/transformers", {"model": {"model_type": "timesformer", **CLIP}}),
    "timesformer-mean": ("video/transformers", {"model": {"model_type": "timesformer", **CLIP}, "pool": "mean"}),
    "vivit": ("video/transformers", {"model": VIVIT}),
    "xclip": ("video/transformers", {"model": XCLIP, "short": "pad"}),
}
FEATURES: dict[str, tuple[str, dict]] = {
    "features-bert": ("video/features", {"dim": 12, "length": 5, "model": BERT, "cls_id": 0, "sep_id": 1}),
    "features-mean": ("video/features", {"dim": 12, "length": 5, "model": None, "long": "uniform"}),
}
