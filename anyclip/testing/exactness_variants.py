"""Options with which registered parts go through the proof of exactness: every combination that has a formula."""

from __future__ import annotations

from typing import Any

LOSSES: dict[str, list[dict[str, Any]]] = {
    "infonce": [
        {},
        {"label_smoothing": 0.1, "direction_reduction": "sum"},
        {"direction_reduction": [0.75, 0.25], "normalize_inputs": True},
        {"multi_positive": True},
        {"mask_same_id": True, "margin": 0.2},
        {"positive_weight": 0.0, "mask_same_id": True},
        {"hardness": 0.25, "positive_weight": 0.9, "direction_reduction": "sum"},
        {"hardness": 1.0, "debias": 0.1, "direction_reduction": [1.0, 0.0]},
        {"sample_weighting": {"kappa": 0.5, "by": ["b", "a"]}},
        {"sample_weights": True},
        {"tile": 3, "label_smoothing": 0.1},
    ],
    "siglip": [{}, {"normalize_inputs": True}, {"tile": 3}],
    "infoloob": [{}, {"direction_reduction": [1.0, 0.0]}, {"hopfield_scale": 8.0}],
    "supcon": [{}, {"temperature": 0.5, "base_temperature": 1.0}],
}

SIMILARITIES: dict[str, list[tuple[list[str], dict[str, Any]]]] = {
    "frame_mean": [(["a", "t"], {}), (["a", "b"], {})],
    "filip": [(["a", "t"], {}), (["a", "t"], {"top_k": 2})],
    "multi_grained": [(["t", "b"], {"dim": 5, "words": 5, "frames": 2, "temperature": 0.3})],
    "euclidean": [(["a", "b"], {}), (["a", "b"], {"squared": False, "feature_scale": 0.7})],
    "hyperbolic": [
        (["a", "b"], {}),
        (["a", "b"], {"squared": True, "curvature": {"init": 0.5}}),
        (["a", "b"], {"inner": True, "learn_feature_scale": False}),
    ],
    "whitening": [(["a", "b"], {"dim": 5})],
}

_EDGE = {"pair": ["a", "b"], "scale": {"init": 4.0}}
_SMALL = {"dim": 4, "hidden": 5, "layers": 3, "norm": "layer"}


def _term(name: str, *, on: dict[str, Any] | None = None, pair: tuple[str, str] = ("a", "b"), **more: Any) -> Any:
    """A term of a pair beside a loss on it."""
    settings = {k: more.pop(k) for k in ("weight", "scale", "bias", "similarity") if k in more}
    edge = {"pair": list(pair), "scale": {"init": 4.0}} | (on or {})
    return [edge, {"name": name, "pair": list(pair), "options": more, **settings}]


OBJECTIVES: dict[str, list[list[dict[str, Any]]]] = {
    "distillation": [
        _term("distillation", teacher_scales=[8.0]),
        _term("distillation", teacher_scales=[8.0, 5.0], teacher_dims=[2, 3], divergence="kl"),
        _term(
            "distillation",
            on={"loss": "siglip", "bias": {"init": -1.5}},
            divergence="sigmoid",
            teacher_scales=[8.0],
            teacher_bias=-1.0,
        ),
        _term(
            "distillation",
            logits=0.0,
            features=2.0,
            interactive=1.0,
            cross_logits=1.0,
            gradients=3.0,
            teacher_scales=[8.0],
            normalize_inputs=True,
        ),
        _term("distillation", teacher_streams=["t", "a#1"], teacher_scales=[8.0], features=1.0),
    ],
    "cyclic": [_term("cyclic"), _term("cyclic", in_modal=0.0)],
    "separation": [_term("separation"), _term("separation", semantic=False), _term("separation", modalities=["b"])],
    "geodesic_mixup": [_term("geodesic_mixup", unimodal=0.5), _term("geodesic_mixup", share=0.3)],
    "entailment": [
        _term("entailment", on={"similarity": "euclidean"}),
        _term("entailment", on={"similarity": "hyperbolic"}),
    ],
    "nearest_neighbour": [
        _term("nearest_neighbour", size=9),
        _term("nearest_neighbour", pair=("a", "t"), size=20, anchors=["a", "a#1"], keys=["t", "b"]),
    ],
    "captioning": [
        _term("captioning", pair=("a", "t"), vocabulary=9, width=6, depth=1, heads=2, max_length=6),
        _term("captioning", pair=("a", "t"), vocabulary=9, width=6, depth=1, heads=2, max_length=6, inputs="tokens"),
    ],
    "ntxent": [
        [_EDGE, {"name": "ntxent", "options": {"streams": ["a", "a#1"], "head": _SMALL}}],
        [_EDGE, {"name": "ntxent", "options": {"streams": ["a", "a#1"], "head": None, "temperature": 0.5}}],
    ],
    "paired_views": [
        [_EDGE, {"name": "paired_views", "options": {"streams": ["a", "a#1"], "other_stream": "b"}}],
        [_EDGE, {"name": "paired_views", "options": {"streams": ["a", "a#1"], "other_stream": "b", "balance": False}}],
    ],
    "class_prompts": [
        [
            {"pair": ["a", "t"], "scale": {"init": 4.0}},
            {
                "name": "class_prompts",
                "options": {"stream": "a", "prompt_stream": "b", "classes": ["k", "l", "m", "n"], "scale": 8.0},
            },
        ]
    ],
    "simsiam": [
        [_EDGE, {"name": "simsiam", "options": {"streams": ["a", "a#1"], "head": _SMALL, "predictor": {"hidden": 3}}}]
    ],
    "tower_term": [
        [
            {"pair": ["a", "t"], "scale": {"init": 4.0}},
            {"name": "tower_term", "options": {"stream": "t", "term": "activity"}, "weight": 0.7},
        ],
        [_EDGE, {"name": "tower_term", "options": {"stream": "t", "term": "activity"}}],
    ],
    "masked_modelling": [
        [
            {"pair": ["a", "t"], "scale": {"init": 4.0}},
            {"name": "masked_modelling", "options": {"stream": "t", "ratio": 0.5, "head": {"name": "mlp"}}},
        ]
    ],
    "self_distillation": [
        [
            {"pair": ["a", "t"], "scale": {"init": 4.0}},
            {"name": "self_distillation", "options": {"stream": "t", "decay": 0.9, "head": {"hidden": 5}}},
        ],
        [
            _EDGE,
            {
                "name": "self_distillation",
                "options": {
                    "stream": "a",
                    "teacher_stream": "a#1",
                    "mask_ratio": 0.0,
                    "decay": 0.5,
                    "head": {"hidden": 5},
                },
            },
        ],
    ],
}

HEADS: list[dict[str, Any]] = [
    {**_EDGE, "heads": {"b": {"name": "mlp", "normalize_inputs": True}}},
    {**_EDGE, "heads": {"a": "linear", "b": "mlp"}, "loss": {"name": "siglip"}, "bias": {"init": -1.5}},
]
