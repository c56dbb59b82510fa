"""What the importers share: the edges of three streams, and the CLIP that a point encoder was aligned with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from anyclip.checkpoint.importing import Imported
from anyclip.checkpoint.reading import read_state
from anyclip.errors import CheckpointError


def edges(streams: Iterable[str], scale: float) -> list[dict[str, Any]]:
    """Points with each other stream, under one scale. A model with points alone has none."""
    return [
        {"pair": ["points", other], "loss": "infonce", "scale": {"init": scale, "share": "points"}}
        for other in streams
        if other != "points"
    ]


def add_clip(
    imported: Imported,
    inside: Mapping[str, Tensor],
    clip: str | None,
    config: dict[str, Any],
    published: str,
    *,
    where: str,
) -> None:
    """Add the streams `image` and `text` of an open_clip model to a model of points.

    inside: its tensors in the checkpoint, {} where there are none; clip: a file or folder that holds them. config: of
    the model; default: open_clip's `published`. Raises CheckpointError when its joint space has another width.
    """
    if not inside and clip is None:
        return
    import open_clip
    from anyclip_image.importers.open_clip import import_state

    config = {"quick_gelu": False, **(config or open_clip.get_model_config(published) or {})}
    dim, other = imported.config["model"]["dim"], config["embed_dim"]
    if other != dim:
        raise CheckpointError(
            f"its points are aligned with {dim} dimensions, that CLIP has {other}.",
            where=where,
            hint="Give its config: the option clip_config.",
        )
    own = dict(inside) if clip is None else read_state(Path(clip).expanduser())
    found = import_state(own, config, where=clip or where)
    towers = found.config["model"]["towers"]
    imported.config["model"]["towers"].update({name: {**tower, "freeze": True} for name, tower in towers.items()})
    imported.state.update(found.state)
    imported.assets.update(found.assets)
