"""What a report is made of, read from a run folder; nothing here needs the model's weights in memory."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from anyclip.checkpoint import RunFolder, find_weights
from anyclip.config import Config, load_config
from anyclip.config.schema import SourceConfig
from anyclip.data.sources import Source, StreamInfo, source_name
from anyclip.errors import BadSample, CheckpointError, UserError
from anyclip.evaluation.base import Result
from anyclip.evaluation.run import dataset_labels, load_results
from anyclip.registry import get_registry
from anyclip.registry.registry import resolve


@dataclass
class RunContent:
    """A run on disk: config, records of metrics.jsonl, results with their step, quarantine, versions, sizes."""

    folder: Path
    config: Config
    records: list[dict[str, Any]] = field(default_factory=list)
    step: int | None = None
    results: list[Result] = field(default_factory=list)
    quarantine: list[dict[str, Any]] = field(default_factory=list)
    versions: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)

    @staticmethod
    def read(path: Path, *, config: Config | None = None, results: Path | None = None) -> RunContent:
        """Raises CheckpointError when `path` holds no config; every other part may be missing."""
        run = RunFolder(path)
        if not run.config.is_file():
            raise CheckpointError("this is no run folder: it holds no config.yaml.", where=str(path))
        content = RunContent(path, config or load_config(run.config))
        content.records = _json_lines(run.metrics)
        content.quarantine = _json_lines(run.quarantine)
        content.versions = json.loads(run.versions.read_text()) if run.versions.is_file() else {}
        latest = results or run.eval / "latest.json"
        if latest.is_file():
            content.step, content.results = load_results(latest)
        content.parameters = _parameters(path)
        return content

    def modality(self, stream: str) -> str | None:
        """The modality of a stream by its tower's name, or None when its plugin is gone."""
        seen: set[str] = set()
        tower = self.config.model.towers.get(stream)
        while tower is not None and tower.ref and tower.ref not in seen:
            seen.add(tower.ref)
            tower = self.config.model.towers.get(tower.ref)
        if tower is None or tower.name is None:
            return None
        name = tower.name.rpartition(":")[2].partition("/")[0]
        return name if name in get_registry().names("modality") else None

    def quarantine_counts(self) -> list[tuple[str, str, str, int]]:
        """(dataset, stream, reason without the sample's name, count), most frequent first."""
        counts = Counter((q.get("dataset", ""), q.get("stream", ""), _kind(q)) for q in self.quarantine)
        return [(*key, n) for key, n in counts.most_common()]


class Previews:
    """HTML of the values that examples name; a value that cannot be shown is named instead."""

    def __init__(self, content: RunContent):
        self.content = content
        self._labels = dict(zip(dataset_labels(content.config.data.val), content.config.data.val))
        self._sources: dict[str, Source | None] = {}
        self._done: dict[tuple, str] = {}

    def html(self, dataset: str, place: dict[str, Any]) -> str | None:
        """Preview of the value at `place` (stream, row, alternative), or None when it cannot be shown."""
        key = (dataset, place["stream"], place["row"], place["alternative"])
        if key not in self._done:
            self._done[key] = self._make(*key) or ""
        return self._done[key] or None

    def _make(self, dataset: str, stream: str, row: int, alternative: int) -> str | None:
        modality = self.content.modality(stream)
        source = self._source(dataset)
        spec = get_registry().modality(modality) if modality else None
        if source is None or spec is None or not spec.preview:
            return None
        try:
            return resolve(spec.preview)(source.values(row, stream)[alternative])
        except (BadSample, UserError, IndexError, OSError, KeyError):
            return None  # the data changed or moved since the evaluation: the report names the sample

    def _source(self, dataset: str) -> Source | None:
        if dataset not in self._sources:
            self._sources[dataset] = self._open(self._labels.get(dataset))
        return self._sources[dataset]

    def _open(self, config: SourceConfig | None) -> Source | None:
        streams = {s: m for s in self.content.config.model.towers if (m := self.content.modality(s))}
        if config is None:
            return None
        infos = {s: StreamInfo(None, m) for s, m in streams.items()}  # type: ignore[arg-type]  # values are never loaded
        try:
            return Source(config, streams=infos, base=self.content.config.base, partial=True)
        except UserError:
            return None


def describe_source(config: SourceConfig, base: str | None) -> tuple[str, str]:
    """(name, number of rows or the reason why it cannot be opened)."""
    from anyclip.readers import create_reader

    try:
        return source_name(config), f"{len(create_reader(config.name, config.options, base=base)):,}"
    except UserError as error:
        return source_name(config), f"not there now: {error.message}"


def _kind(entry: dict[str, Any]) -> str:
    """The reason without the names in it, so that equal troubles count together."""
    reason = str(entry.get("reason", ""))
    head, separator, tail = reason.partition(": ")
    return tail if separator and ("/" in head or "." in head) and " " not in head else reason


def _json_lines(path: Path) -> list[dict[str, Any]]:
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue  # a last line that a kill cut short
        if isinstance(record, dict):
            found.append(record)
    return found


def _parameters(path: Path) -> dict[str, int]:
    """Parameters by `towers.STREAM` and `projections.STREAM`, from the header of the weights file."""
    try:
        file = find_weights(path)[1] / "model.safetensors"
        counts: Counter[str] = Counter()
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (not a dict)
                size = 1
                for n in tensors.get_slice(name).get_shape():
                    size *= n
                counts[".".join(name.split(".")[:2])] += size
        return dict(counts)
    except (CheckpointError, SafetensorError, OSError):
        return {}  # a run without a checkpoint yet
