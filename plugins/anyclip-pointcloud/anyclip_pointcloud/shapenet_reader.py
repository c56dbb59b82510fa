"""The `shapenet` reader: ShapeNet-55 with ULIP's renderings, and ShapeNetCore's folders of meshes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from anyclip.errors import DataError
from anyclip_pointcloud.layout_options import ShapenetOptions
from anyclip_pointcloud.layout_reader import Entry, LayoutReader

_DEGREES = tuple(range(0, 360, 12))
_KINDS = {"colour": ("",), "depth": ("_depth0001",), "all": ("", "_depth0001")}
_MESHES = ("models/model_normalized.obj", "model.obj", "models/model_normalized.glb")


class ShapenetReader(LayoutReader):
    """Columns also: `text` (names of the class in taxonomy.json, alternatives), `image` (rendered views, alternatives).

    ShapeNet-55: train.txt and test.txt of `SYNSET-MODEL.npy`, which lie in shapenet_pc. ShapeNetCore: meshes in
    SYNSET/MODEL/models. Without taxonomy.json a class is called by its synset number.
    """

    options: ShapenetOptions

    def wanted(self) -> str:
        return "train.txt, test.txt and shapenet_pc/*.npy (ShapeNet-55), or SYNSET/MODEL/models/*.obj (ShapeNetCore)"

    def entries(self) -> Iterator[Entry]:
        self.synonyms = self._taxonomy()
        if self.file("train.txt", "test.txt"):
            return self._listed()
        if self.options.split != "all":
            raise self.wrong(f"there is no {self.options.split}.txt, which split: {self.options.split} needs")
        return self._folders()

    def _taxonomy(self) -> dict[str, list[str]]:
        """Synset number -> the names of the class."""
        if self.file("taxonomy.json") is None:
            return {}
        where = os.path.join(self.path, "taxonomy.json")
        try:
            with open(where, encoding="utf-8") as file:
                rows = json.load(file)
            return {r["synsetId"]: [n.strip() for n in r["name"].split(",") if n.strip()] for r in rows}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"not a list of synsetId and name: {error!r}.", where=where) from error

    def _label(self, synset: str) -> str:
        return next(iter(self.synonyms.get(synset, ())), synset)

    def _listed(self) -> Iterator[Entry]:
        splits = ("train", "test") if self.options.split == "all" else (self.options.split,)
        for split in splits:
            if self.file(f"{split}.txt") is None:
                raise self.wrong(f"there is no {split}.txt")
            for line in self.lines(f"{split}.txt"):
                yield Entry(line.rsplit(".", 1)[0], self._label(line.split("-", 1)[0]), f"shapenet_pc/{line}")

    def _folders(self) -> Iterator[Entry]:
        for synset in self._sub_folders(""):
            for model in self._sub_folders(synset) if synset.isdigit() else ():
                mesh = self.file(*(f"{synset}/{model}/{name}" for name in _MESHES))
                if mesh is not None:
                    yield Entry(f"{synset}-{model}", self._label(synset), mesh)

    def _sub_folders(self, inside: str) -> list[str]:
        with os.scandir(os.path.join(self.path, inside)) as found:
            return sorted(entry.name for entry in found if entry.is_dir())

    def __getitem__(self, row: int) -> Mapping[str, Any]:
        found = dict(super().__getitem__(row))
        synset = str(found["name"]).split("-", 1)[0]
        return {**found, "text": self.synonyms.get(synset) or [synset], "image": self._images(str(found["name"]))}

    def _images(self, name: str) -> list[str] | None:
        folder = f"rendered_images/{name}"
        if not os.path.isdir(os.path.join(self.path, folder)):
            return None
        degrees = _DEGREES if self.options.views is None else self.options.views
        wanted = [f"{folder}/{name}_r_{d:03d}{kind}.png" for d in degrees for kind in _KINDS[self.options.images]]
        return [file for file in wanted if self.file(file)] or None

    def columns(self) -> list[str]:
        return [*super().columns(), "text", "image"]
