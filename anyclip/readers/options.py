"""Options of the readers. No torch in here: `anyclip options` and `anyclip check` read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le


@dataclass(kw_only=True)
class ManifestOptions:
    """A table, a row per sample."""

    path: str
    """A `.csv`, `.tsv`, `.jsonl` or `.parquet` file (relative to the config file), or a URL that fsspec knows."""
    where: str | None = None
    """Keep the rows for which this holds, such as `split == "train" and duration <= 10`. Columns, numbers, strings,
    true, false, null, lists; `==`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `not in`, `is null`, `is not null`, `and`, `or`,
    `not`, brackets."""
    format: Literal["csv", "tsv", "jsonl", "parquet"] | None = None
    """Format of the file; default: by its suffix."""
    root: str | None = None
    """Folder against which relative paths in the table are taken; default: the manifest's own folder."""
    list_separator: str | None = None
    """CSV and TSV cells that hold this text are lists of alternatives, such as `|`; default: cells are never lists."""


@dataclass(kw_only=True)
class TarOptions:
    """Shards in the WebDataset layout: files with the same stem are one sample."""

    path: str | list[str]
    """A `.tar` file, a folder of them, a glob, `shard-{0000..0031}.tar`, a URL, or a list of these."""
    on_truncated: Literal["error", "warn"] = "error"
    """A shard that is cut short: refuse it, or keep its complete samples and warn."""
    cache: str | None = None
    """Folder for shard indexes (and copies); default: beside the shard, or the user's cache folder."""
    remote: Literal["range", "copy"] = "range"
    """Shards behind a URL: read the parts asked for, or copy each whole shard into `cache` first."""


@dataclass(kw_only=True)
class FolderOptions:
    """A folder per class."""

    path: str
    """The folder that holds a folder per class."""
    modality: str | None = None
    """Take only this modality's files; needed when a suffix is claimed by two modalities."""


@dataclass(kw_only=True)
class HuggingFaceOptions:
    """A dataset saved by `datasets.Dataset.save_to_disk`, or Parquet files."""

    path: str
    """The folder of `save_to_disk`, a `.parquet` file, a folder of them, or a glob. Never a hub name."""
    split: str | None = None
    """Which split, when the folder holds several."""
    where: str | None = None
    """Keep the rows for which this holds; see `where` of the `manifest` reader."""


@dataclass(kw_only=True)
class LayoutOptions:
    """What readers of published datasets' folders understand (`anyclip.readers.layouts`)."""

    path: str
    """The dataset's folder, as it was unpacked (relative to the config file)."""
    absent: Literal["keep", "leave_out"] = "keep"
    """Annotations whose file is not there: `keep` their rows, so that they are counted as broken values, or
    `leave_out` the rows and say how many."""


@dataclass(kw_only=True)
class SyntheticStream:
    """How one stream of the synthetic reader is made."""

    missing: Annotated[float, Ge(0), Le(1)] = 0.0
    """Share of rows that lack this stream; 1: the dataset does not have it."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the modality's renderer."""


@dataclass(kw_only=True)
class SyntheticOptions:
    """Random scenes, rendered by each modality; needs no file."""

    size: Annotated[int, Gt(0)] = 4096
    """Rows. Above the number of scenes of the split, scenes come again, rendered with other noise."""
    seed: Annotated[int, Ge(0)] = 0
    """Same seed, same rows."""
    split: Literal["train", "val", "all"] = "train"
    """`val` holds the scenes (combinations of factor values) that `train` never shows, whatever the seeds."""
    factors: list[str] = field(default_factory=lambda: ["shape", "colour", "size", "position", "background"])
    """What varies; also motion, then, pitch, timbre, loudness, rhythm, contour."""
    couple: bool = True
    """What is heard follows what is seen (timbre the shape, pitch the colour, loudness the size, rhythm the
    background) when both are drawn, so that streams which show no common factor can be matched."""
    streams: dict[str, SyntheticStream] = field(default_factory=dict)
    """Per stream: the share of missing values and the options of its renderer."""
