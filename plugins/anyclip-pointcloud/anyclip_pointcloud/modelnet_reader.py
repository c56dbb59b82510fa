"""The `modelnet` reader: ModelNet40 and ModelNet10 in each of their published layouts."""

from __future__ import annotations

import os
from collections.abc import Iterator

from anyclip_pointcloud.layout_options import ModelnetOptions
from anyclip_pointcloud.layout_reader import Entry, LayoutReader


class ModelnetReader(LayoutReader):
    """h5 files of 2,048 points, lists of resampled points with normals, or folders of meshes; see `ModelnetOptions`."""

    options: ModelnetOptions

    def wanted(self) -> str:
        return (
            "train_files.txt and test_files.txt (h5), modelnet40_train.txt and modelnet40_test.txt (resampled), "
            "or CLASS/train/*.off and CLASS/test/*.off"
        )

    def entries(self) -> Iterator[Entry]:
        layout = self.options.layout
        if layout == "auto":
            layout = "h5" if self.file("train_files.txt", "test_files.txt") else "folders"
            layout = "lists" if self.file(f"{self.options.lists}_train.txt") else layout
        return {"h5": self._h5, "lists": self._lists, "folders": self._folders}[layout]()

    def _splits(self) -> tuple[str, ...]:
        return ("train", "test") if self.options.split == "all" else (self.options.split,)

    def _list(self, *files: str) -> list[str]:
        found = self.file(*files)
        if found is None:
            raise self.wrong(f"there is no {files[0]}")
        return self.lines(found)

    def _h5(self) -> Iterator[Entry]:
        classes = self._list("shape_names.txt", "modelnet40_shape_names.txt")
        for split in self._splits():
            for line in self._list(f"{split}_files.txt"):
                yield from self.h5_entries(os.path.basename(line), classes)  # the lists say data/FOLDER/FILE

    def _lists(self) -> Iterator[Entry]:
        for split in self._splits():
            for name in self._list(f"{self.options.lists}_{split}.txt"):
                label = name.rpartition("_")[0]
                yield Entry(name, label, f"{label}/{name}.txt")

    def _folders(self) -> Iterator[Entry]:
        with os.scandir(self.path) as found:
            classes = sorted(entry.name for entry in found if entry.is_dir() and not entry.name.startswith("."))
        for label in classes:
            for split in self._splits():
                folder = os.path.join(self.path, label, split)
                names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
                for file in names:
                    if file.lower().endswith(".off"):
                        yield Entry(file[:-4], label, f"{label}/{split}/{file}")
