"""The `urbansound8k` reader: the folder of UrbanSound8K (Salamon et al. 2014), 8732 sounds, 10 classes, 10 folds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from anyclip_audio.layouts_classes import ClassLayout


class Urbansound8kReader(ClassLayout):
    """`metadata/UrbanSound8K.csv` (slice_file_name, fsID, start, end, salience, fold, classID, class) and
    `audio/fold1` to `audio/fold10`."""

    columns_of: ClassVar = ("slice_file_name", "class", "classID", "fold")
    needs: ClassVar[Sequence[str]] = columns_of

    def table(self) -> str:
        return "metadata/UrbanSound8K.csv"

    def file(self, name: str, fold: int) -> str:
        return f"audio/fold{fold}/{name}"
