"""The `esc50` reader: the folder of ESC-50 (Piczak 2015), 2000 sounds of 5 s, 50 classes, 5 folds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from anyclip_audio.layouts_classes import ClassLayout


class Esc50Reader(ClassLayout):
    """`meta/esc50.csv` (filename, fold, target, category, esc10, src_file, take) and `audio/`."""

    columns_of: ClassVar = ("filename", "category", "target", "fold")
    needs: ClassVar[Sequence[str]] = columns_of

    def table(self) -> str:
        return "meta/esc50.csv"

    def file(self, name: str, fold: int) -> str:
        return f"audio/{name}"
