"""Options of the readers of published datasets' folders (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from anyclip.readers.options import LayoutOptions


@dataclass(kw_only=True)
class VideoLayoutOptions(LayoutOptions):
    """What every layout of videos understands."""

    videos: str | None = None
    """Folder of the videos, inside `path`, looked through with its subfolders. Default: all of `path`. A video is any
    file of a known suffix whose name without suffix is the published one."""
    captions: Literal["list", "rows"] = "list"
    """Several captions of a video: one row with a list of them, of which training draws one, or a row for each."""


@dataclass(kw_only=True)
class MsrvttOptions(VideoLayoutOptions):
    """MSR-VTT: `MSRVTT_data.json`, or the two `*_videodatainfo.json`, and the lists of the retrieval splits."""

    split: Literal["train_9k", "test_1k_a", "train_7k", "train", "validate", "test"] = "train_9k"
    """`train_9k` and `test_1k_a`: the protocol 1k-A, from `MSRVTT_train.9k.csv` and `MSRVTT_JSFUSION_test.csv`, which
    gives each test video one sentence; `train_7k`: `MSRVTT_train.7k.csv`; `train`, `validate`, `test`: the split of
    the annotations, with 20 captions a video."""


@dataclass(kw_only=True)
class MsvdOptions(VideoLayoutOptions):
    """MSVD: `AllVideoDescriptions.txt` (or `raw-captions.pkl`), `train_list.txt`, `val_list.txt`, `test_list.txt`."""

    split: Literal["train", "val", "test"] = "train"
    """1,200, 100 and 670 videos, about 40 captions each. In the test every caption is a query of its own."""


@dataclass(kw_only=True)
class DidemoOptions(VideoLayoutOptions):
    """DiDeMo: `train_data.json`, `val_data.json`, `test_data.json`."""

    split: Literal["train", "val", "test"] = "train"
    """Which of the three files."""
    text: Literal["paragraph", "sentences"] = "paragraph"
    """`paragraph`: a row a video, all its descriptions joined (paragraph-to-video retrieval); `sentences`: a row a
    description, with the part of the video that most annotators chose."""


@dataclass(kw_only=True)
class ActivitynetOptions(VideoLayoutOptions):
    """ActivityNet Captions: `train.json`, `val_1.json`, `val_2.json`."""

    split: Literal["train", "val_1", "val_2"] = "train"
    """Which of the three files; retrieval is tested on `val_1`."""
    text: Literal["paragraph", "sentences"] = "paragraph"
    """`paragraph`: a row a video, its sentences joined (paragraph-to-video retrieval); `sentences`: a row a sentence,
    with its part of the video."""


@dataclass(kw_only=True)
class LsmdcOptions(VideoLayoutOptions):
    """LSMDC 2016: `LSMDC16_annos_training.csv`, `LSMDC16_annos_val.csv`, `LSMDC16_challenge_1000_publictect.csv`."""

    split: Literal["train", "val", "test"] = "train"
    """`test`: the 1,000 clips of the retrieval challenge."""
