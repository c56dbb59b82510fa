"""pointclip: adapters of PointCLIP (Zhang et al. 2022, arXiv 2112.02413), or a CLIP that shall see views of clouds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from anyclip.checkpoint.importing import Imported
from anyclip.checkpoint.reading import read_state
from anyclip.errors import CheckpointError
from anyclip_pointcloud.importers.view_adapters import INTER_VIEW, renamed

_VIEWS = (6, 10)


def import_pointclip(
    state: Mapping[str, Tensor],
    *,
    name: str | None = None,
    source: Path | None = None,
    clip: str | None = None,
    tower: str = "pointclip",
    point: dict[str, Any] | None = None,
) -> Imported:
    """Streams `points`, `image` and `text`; the points are seen by the image stream's tower.

    The adapter's file holds no CLIP: the option `clip` names it. Without an adapter `source` is the CLIP itself.
    """
    where, given = str(source or "pointclip"), dict(point or {})
    if "fusion_ratio" not in state:
        return with_points(dict(state), {"name": f"pointcloud/{tower}", "options": given}, source=source, where=where)
    views = len(state["fusion_ratio"])
    if tower != "pointclip" or views not in _VIEWS:
        what = f"is an adapter of {views} views" if tower == "pointclip" else "is an adapter of pointclip"
        raise CheckpointError(f"{what}, for which there is no tower {tower}.", where=where)
    if clip is None:
        raise CheckpointError(
            "is an adapter alone, without the CLIP that it was trained with.",
            where=where,
            hint="Name the CLIP's file: the option clip.",
        )
    path = Path(clip).expanduser()
    part = {"name": "pointcloud/pointclip", "options": {"views": views, "adapter": "inter_view", **given}}
    imported = with_points(read_state(path), part, source=path, where=clip)
    width = state["global_f.4.weight"].shape[0] if "global_f.4.weight" in state else 0
    if width and width != imported.config["model"]["dim"]:
        dim = imported.config["model"]["dim"]
        raise CheckpointError(f"the adapter is {width} wide, that CLIP {dim}.", where=where)
    imported.state.update(renamed(state, INTER_VIEW, "towers.points.adapter."))
    return imported


def with_points(
    clip: Mapping[str, Tensor], tower: dict[str, Any], *, source: Path | None = None, where: str
) -> Imported:
    """The model of an OpenAI CLIP with a stream `points` that its image tower sees; both CLIP towers are frozen."""
    from anyclip_image.importers.openai_clip import import_openai_clip

    if "visual.conv1.weight" not in clip:
        raise CheckpointError("is neither an adapter of PointCLIP nor OpenAI's CLIP.", where=where)
    imported = import_openai_clip(clip, source=source)
    towers = imported.config["model"]["towers"]
    for frozen in towers.values():
        frozen["freeze"] = True
    options = {"image": {"ref": "image"}, **tower["options"]}
    towers["points"] = {"name": tower["name"], "options": options, "projection": "identity"}
    scale = imported.config["objectives"][0]["scale"]
    imported.config["objectives"].append({"pair": ["points", "text"], "loss": "infonce", "scale": dict(scale)})
    return imported
