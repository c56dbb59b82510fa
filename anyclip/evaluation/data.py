"""One dataset as evaluations see it: distinct contents per stream, embedded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from anyclip.config.schema import SourceConfig
from anyclip.data.sources import Source, StreamInfo
from anyclip.errors import BadSample
from anyclip.evaluation.content import ContentKey
from anyclip.evaluation.processes import Processes
from anyclip.inference import encode_values
from anyclip.registry import get_registry
from anyclip.similarities import Prepared, Similarity
from anyclip.towers import Encoding

if TYPE_CHECKING:
    from anyclip.model import JointModel


@dataclass(frozen=True)
class Items:
    """The distinct contents of one stream.

    where: item -> (row, alternative) of its first appearance. rows, items: which rows hold which items (int64, equal
    length, rising rows); a row with several captions holds several.
    """

    where: list[tuple[int, int]]
    rows: Tensor
    items: Tensor

    def __len__(self) -> int:
        return len(self.where)


@dataclass(frozen=True)
class Vectors:
    """What a similarity keeps of the usable items: `prepared` row k belongs to item `items[k]`."""

    prepared: Prepared
    items: Tensor


@dataclass(frozen=True)
class Edge:
    """A pair of streams that was trained, and how it is scored."""

    pair: tuple[str, str]
    name: str
    similarity: Similarity


class EvalData:
    """A dataset with the model's streams that it holds.

    Embeddings and content keys are kept, so that several evaluations of one call share them. On several processes
    each embeds its part and all get the whole.

    Args:
        fields: names of labels and groups that evaluations read; absent ones are left out.
        processes: those that evaluate together; every one makes the same calls.
        workers: threads that decode ahead of the model.
        train: the training datasets (opened when asked), for evaluations that learn something.
        edges: the pairs that were trained.
    """

    def __init__(
        self,
        config: SourceConfig,
        model: JointModel,
        *,
        base: str | None = None,
        fields: Sequence[str] = (),
        name: str | None = None,
        processes: Processes | None = None,
        workers: int = 0,
        train: Sequence[SourceConfig] = (),
        edges: Sequence[Edge] = (),
    ):
        infos = {s: StreamInfo(model.processor(s), model.modality(s)) for s in model.streams}
        self.source = Source(config, streams=infos, base=base, extra=fields, partial=True, name=name)
        self.config, self.model, self.name = config, model, self.source.name
        self.processes = processes or Processes()
        self.workers, self.edges = workers, tuple(edges)
        self.bad: dict[tuple[str, str], str] = {}  # (sample id, stream) -> reason
        self.base, self._fields, self._train = base, fields, train
        self._items: dict[tuple[str, int | None], Items] = {}
        self._vectors: dict[tuple[str, str, int | None], Vectors] = {}

    @property
    def streams(self) -> list[str]:
        """Streams of the model for which the data has a column."""
        return list(self.source.streams)

    @property
    def fields(self) -> list[str]:
        return list(self.source.extra)

    def __len__(self) -> int:
        return len(self.source)

    def train(self) -> list[EvalData]:
        """The training datasets, seen in the same way."""
        options = {"base": self.base, "fields": self._fields, "processes": self.processes, "workers": self.workers}
        return [EvalData(config, self.model, **options) for config in self._train]

    def edge(self, a: str, b: str) -> Edge | None:
        """The trained edge between two streams, in either order; None when the pair was never trained."""
        return next((edge for edge in self.edges if sorted(edge.pair) == sorted((a, b))), None)

    def trained(self, a: str, b: str) -> bool:
        """Whether an objective compared the two streams directly."""
        return self.edge(a, b) is not None

    def through(self, a: str, b: str) -> list[str]:
        """Streams on the shortest way from one to the other over trained pairs: what binds an emergent pair."""
        ways = [[a]]
        seen = {a}
        for way in ways:
            for near in (s for edge in self.edges if way[-1] in edge.pair for s in edge.pair if s not in seen):
                if near == b:
                    return way[1:]
                seen.add(near)
                ways.append([*way, near])
        return []

    def modality(self, stream: str) -> str:
        return self.model.modality(stream)

    def is_text(self, stream: str) -> bool:
        """Whether plain strings are values of the stream."""
        return get_registry().modality(self.modality(stream)).string_is_value

    def rows(self, limit: int | None = None) -> list[int]:
        """All rows, or `limit` of them, evenly spread."""
        n = len(self)
        return list(range(n)) if limit is None or limit >= n else [i * n // limit for i in range(limit)]

    def value(self, stream: str, where: tuple[int, int]) -> Any:
        """The value at (row, alternative). Raises BadSample."""
        return self.source.values(where[0], stream)[where[1]]

    def field(self, name: str, limit: int | None = None) -> dict[int, Any]:
        """Row -> a label or group as a plain value; rows without it are left out."""
        found = {}
        for row in self.rows(limit):
            try:
                value = self.source.field(row, name)
            except BadSample as error:
                self.bad[self.source.sample_id(row), name] = error.reason
                continue
            if value is not None:
                found[row] = (
                    value if isinstance(value, str) else value.item() if value.ndim == 0 else tuple(value.tolist())
                )
        return found

    def items(self, stream: str, limit: int | None = None) -> Items:
        """The distinct contents of a stream."""
        if (stream, limit) not in self._items:
            self._items[stream, limit] = self._find_items(stream, limit)
        return self._items[stream, limit]

    def _find_items(self, stream: str, limit: int | None) -> Items:
        key_of = ContentKey(self.modality(stream))
        rows = self.rows(limit)
        mine: list[tuple[int, int, str]] = []  # row, alternative, key
        bad: list[tuple[str, str]] = []
        for k in self.processes.share(len(rows)):
            row = rows[k]
            try:
                mine += [(row, i, key_of(value)) for i, value in enumerate(self.source.values(row, stream))]
            except BadSample as error:
                bad.append((self.source.sample_id(row), error.reason))
        self.bad |= {(sample, stream): reason for sample, reason in self.processes.objects(bad)}
        number: dict[str, int] = {}
        where: list[tuple[int, int]] = []
        pairs: dict[tuple[int, int], None] = {}  # ordered, each once
        for row, alternative, key in self.processes.objects(mine):
            if key not in number:
                number[key] = len(where)
                where.append((row, alternative))
            pairs[row, number[key]] = None
        table = torch.tensor(list(pairs), dtype=torch.long).reshape(-1, 2)
        return Items(where, table[:, 0], table[:, 1])

    def _prepare(self, stream: str, similarity: Similarity) -> Callable[[Encoding, Tensor], Prepared]:
        """What the similarity compares, of tokens mapped by the stream's projection where it asks for that."""

        def prepare(encoding: Encoding, features: Tensor) -> Prepared:
            if "projected" in similarity.needs:
                encoding = self.model.project_tokens(stream, encoding)
            return similarity.prepare(encoding, features)

        return prepare

    def vectors(
        self,
        stream: str,
        similarity: Similarity,
        *,
        name: str = "cosine",
        limit: int | None = None,
        batch_size: int = 64,
    ) -> Vectors:
        """The stream's items as `similarity` (registered as `name`) compares them; broken ones are left out."""
        key = (stream, name, limit)
        if key not in self._vectors:
            items = self.items(stream, limit)
            share = self.processes.share(len(items))
            encoded = encode_values(
                self.model,
                stream,
                _Values(self, stream, [items.where[i] for i in share]),
                self._prepare(stream, similarity),
                batch_size=batch_size,
                workers=self.workers,
                calls=self.processes.calls(len(items), batch_size),
            )
            bad = [(self.source.sample_id(items.where[share[i]][0]), reason) for i, reason in encoded.errors]
            self.bad |= {(sample, stream): reason for sample, reason in self.processes.objects(bad)}
            mine = (encoded.rows + share.start).tolist()
            self._vectors[key] = Vectors(
                self.processes.prepared(encoded.prepared),
                torch.tensor(self.processes.objects(mine), dtype=torch.long),
            )
        return self._vectors[key]


class _Values(Sequence):
    """Values fetched when they are needed."""

    def __init__(self, data: EvalData, stream: str, where: list[tuple[int, int]]):
        self.data, self.stream, self.where = data, stream, where

    def __len__(self) -> int:
        return len(self.where)

    def __getitem__(self, i):
        return self.data.value(self.stream, self.where[i])
