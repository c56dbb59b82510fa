"""The `scanobjectnn` reader: scanned objects of 15 classes in h5 files (Uy et al., ICCV 2019)."""

from __future__ import annotations

from collections.abc import Iterator

from anyclip_pointcloud.layout_options import ScanobjectnnOptions
from anyclip_pointcloud.layout_reader import Entry, LayoutReader

CLASSES = ["bag", "bin", "box", "cabinet", "chair", "desk", "display", "door", "shelf", "table", "bed", "pillow"]
CLASSES += ["sink", "sofa", "toilet"]
_SUFFIXES = {
    "plain": "",
    "t25": "_augmented25_norot",
    "t25_r": "_augmented25rot",
    "t50_r": "_augmentedrot",
    "t50_rs": "_augmentedrot_scale75",
}
_PARTS = {"train": "training", "test": "test"}


class ScanobjectnnReader(LayoutReader):
    """Clouds of h5_files/main_split(_nobg); the folder may be any of these three levels."""

    options: ScanobjectnnOptions

    def wanted(self) -> str:
        return "h5_files/main_split/training_objectdataset.h5 and its like, or a folder further in"

    def entries(self) -> Iterator[Entry]:
        folder = "main_split" if self.options.background else "main_split_nobg"
        splits = ("train", "test") if self.options.split == "all" else (self.options.split,)
        for split in splits:
            name = f"{_PARTS[split]}_objectdataset{_SUFFIXES[self.options.variant]}.h5"
            places = (f"h5_files/{folder}/{name}", f"{folder}/{name}", name)
            found = self.file(*places)
            if found is None:
                raise self.wrong(f"there is no {name}")
            yield from self.h5_entries(found, CLASSES)
