"""Options of the readers of published datasets' folders (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Len

from anyclip.readers import options as readers

Fold = Annotated[int, Ge(1)]


@dataclass(kw_only=True)
class LayoutOptions(readers.LayoutOptions):
    """What every layout of sounds understands."""

    where: str | None = None
    """Keep the rows of the dataset's own table for which this holds, such as `esc10 == "True"`; see `where` of the
    `manifest` reader."""


@dataclass(kw_only=True)
class ClassLayoutOptions(LayoutOptions):
    """Layouts of class names and folds."""

    folds: Annotated[list[Fold], Len(1)] | None = None
    """Keep these folds: all but one to train, the other to test. Default: all."""
    caption: str = "this is a sound of {}."
    """What the column `text` holds; {} is the class name with spaces."""

    def __post_init__(self):
        if "{}" not in self.caption:
            raise ValueError("caption holds {} for the class name")


@dataclass(kw_only=True)
class Esc50Options(ClassLayoutOptions):
    """ESC-50: `meta/esc50.csv` and `audio/`, five folds."""


@dataclass(kw_only=True)
class Urbansound8kOptions(ClassLayoutOptions):
    """UrbanSound8K: `metadata/UrbanSound8K.csv` and `audio/fold1` to `audio/fold10`."""


@dataclass(kw_only=True)
class AudiocapsOptions(LayoutOptions):
    """AudioCaps: `train.csv`, `val.csv`, `test.csv`, and the sounds that were still there."""

    split: Literal["train", "val", "test"] = "train"
    """Which of the three tables."""
    audio: str | None = None
    """Folder of the sounds, inside `path`. Default: the first of `audio/SPLIT`, `SPLIT`, `audio` that is there."""
    absent: Literal["keep", "leave_out"] = "leave_out"
    """Sounds of the table whose file is not there, as many videos are gone: `leave_out` their rows and say how many,
    or `keep` them, so that they are counted as broken values."""


@dataclass(kw_only=True)
class ClothoOptions(LayoutOptions):
    """Clotho: `clotho_captions_SPLIT.csv` with five captions a sound, and a folder per split."""

    split: Literal["development", "validation", "evaluation"] = "development"
    """Which part: to train, to choose, to test."""
    audio: str | None = None
    """Folder of the sounds, inside `path`. Default: the first of `SPLIT`, `clotho_audio_SPLIT/SPLIT`,
    `clotho_audio_SPLIT`, `audio/SPLIT` that is there."""
