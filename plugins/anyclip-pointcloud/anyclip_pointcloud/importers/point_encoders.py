"""Which point tower a `point_encoder` of ULIP is, and its sizes, read off the tensors' shapes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from torch import Tensor

from anyclip.errors import CheckpointError


def tower_of(state: Mapping[str, Tensor], given: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """state: names inside the encoder -> {name, options} of the tower. given: options that win.

    Raises CheckpointError for an encoder that there is no tower for.
    """
    for marks, name, sizes in (
        (("cls_pos", "reduce_dim.weight"), "pointbert", _pointbert),
        (("sa1.mlp_convs.0.weight",), "pointnet2", _ssg),
        (("sa1.conv_blocks.0.0.weight",), "pointnet2", _msg),
        (("local_grouper_list.0.affine_alpha",), "pointmlp", _pointmlp),
    ):
        if all(mark in state for mark in marks):
            options = {"sample": "stride", **sizes(state), **given}  # farthest sampling of 8192 points gains nothing
            return {"name": f"pointcloud/{name}", "options": options}
    raise CheckpointError(
        "its point_encoder is none of Point-BERT, PointNet++ (SSG, MSG) and PointMLP.",
        where=where,
        hint="It begins with: " + (", ".join(list(state)[:4]) or "nothing") + ".",
    )


def count(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbers follow a prefix: layers of a list."""
    return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})


def _channels(extra: int) -> dict[str, Any]:
    """Which channels stand beside the coordinates: colours in ULIP-2, 6 of them are colours and normals."""
    return {"colors": extra >= 3, "normals": extra >= 6}


def _pointbert(state: Mapping[str, Tensor]) -> dict[str, Any]:
    width = state["cls_token"].shape[-1]
    extra = state["encoder.first_conv.0.weight"].shape[1] - 3
    return {
        **_channels(extra),
        "points": 10_000 if extra else 8192,
        "trans_dim": width,
        "depth": count(state, "blocks.blocks."),
        "num_heads": max(1, width // 64),
        "encoder_dims": state["encoder.second_conv.3.weight"].shape[0],
    }


def _ssg(state: Mapping[str, Tensor]) -> dict[str, Any]:
    extra = state["sa1.mlp_convs.0.weight"].shape[1] - 3
    return {"variant": "ssg", "points": 8192, "normals": extra >= 3, "width": state["fc1.weight"].shape[1]}


def _msg(state: Mapping[str, Tensor]) -> dict[str, Any]:
    extra = state["sa1.conv_blocks.0.0.weight"].shape[1] - 3
    return {"variant": "msg", "points": 8192, "normals": extra >= 3, "width": state["fc1.weight"].shape[1]}


def _pointmlp(state: Mapping[str, Tensor]) -> dict[str, Any]:
    stages = count(state, "local_grouper_list.")
    widths = [state["embedding.net.0.weight"].shape[0]]
    widths += [state[f"pre_blocks_list.{i}.transfer.net.0.weight"].shape[0] for i in range(stages)]
    inner = state["pre_blocks_list.0.operation.0.net1.0.weight"].shape[0]
    return {
        **_channels(state["embedding.net.0.weight"].shape[1] - 3),
        "points": 8192,
        "start_points": 1024,
        "embed_dim": widths[0],
        "dim_expansion": [b // a for a, b in pairwise(widths)],
        "pre_blocks": [count(state, f"pre_blocks_list.{i}.operation.") for i in range(stages)],
        "pos_blocks": [count(state, f"pos_blocks_list.{i}.operation.") for i in range(stages)],
        "k_neighbors": [24] * stages,
        "reducers": [2] * stages,
        "res_expansion": inner / widths[1],
        "bias": "embedding.net.0.bias" in state,
        "use_xyz": state["local_grouper_list.0.affine_alpha"].shape[-1] == widths[0] + 3,
        "width": state["classifier.4.weight"].shape[0],
    }
