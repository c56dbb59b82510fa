"""Options of the readers of published 3D data sets (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "test", "all"]


@dataclass(kw_only=True)
class LayoutOptions:
    """What every reader of a published data set understands."""

    path: str
    """The folder as it is unpacked."""
    split: Split = "train"
    """Which part, as the publishers split it."""
    categories: list[str] | None = None
    """Keep these classes only, by name; ModelNet10's within ModelNet40, for example."""


@dataclass(kw_only=True)
class ModelnetOptions(LayoutOptions):
    layout: Literal["auto", "h5", "lists", "folders"] = "auto"
    """`h5`: modelnet40_ply_hdf5_2048 (2,048 points); `lists`: modelnet40_normal_resampled (10,000 points with normals);
    `folders`: meshes in CLASS/train/*.off. `auto`: what the folder holds."""
    lists: Literal["modelnet40", "modelnet10"] = "modelnet40"
    """Which lists of `modelnet40_normal_resampled`."""


@dataclass(kw_only=True)
class ScanobjectnnOptions(LayoutOptions):
    background: bool = True
    """Objects with what stands around them (OBJ_BG, main_split), or without (OBJ_ONLY, main_split_nobg)."""
    variant: Literal["plain", "t25", "t25_r", "t50_r", "t50_rs"] = "plain"
    """`t50_rs` is PB_T50_RS, the hardest: boxes moved by half, rotated, scaled."""


@dataclass(kw_only=True)
class ShapenetOptions(LayoutOptions):
    split: Split = "all"
    """Which part; needs the lists train.txt and test.txt of ShapeNet-55."""
    images: Literal["colour", "depth", "all"] = "colour"
    """Which rendered views are in the column `image` (rendered_images/ID/ID_r_000.png, ULIP's renderings)."""
    views: list[int] | None = None
    """Degrees of the views. Default: 0, 12, ... 348."""


@dataclass(kw_only=True)
class ObjaverseOptions:
    path: str
    """A JSON list of objects ({id or uid, category, data_path, text or caption ...}), or a mapping from id to path or
    to such an object; or JSON lines."""
    root: str | None = None
    """Folder of the point files; default: that of the listing."""
    file: str = "{id}.npz"
    """File of an object whose entry has no path; `{id}` and every other key of the entry are filled in."""
    texts: list[str] | None = None
    """Keys of the entry, or of its point file, that hold captions: the column `text`. Default: text, caption, captions,
    blip_caption, msft_caption, retrieval_text, name."""
