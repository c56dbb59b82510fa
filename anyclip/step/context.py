"""What objectives see of one step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from anyclip import distributed
from anyclip.data import Batch
from anyclip.distributed import Presence
from anyclip.losses.base import Prepared
from anyclip.model import JointModel
from anyclip.objectives import Pair, Side
from anyclip.similarities import Similarity
from anyclip.similarities.cosine import Cosine
from anyclip.step.encoding import Key, device_of, encode, encode_placeholder
from anyclip.towers import Encoding


class Context:
    """The `StepContext` of one process.

    encodings, features: this process's rows per stream. key: seed of random numbers; reentry: towers may run again.
    """

    def __init__(
        self,
        model: JointModel,
        batch: Batch,
        presence: Presence,
        encodings: dict[str, Encoding],
        features: dict[str, Tensor],
        *,
        step: int,
        key: Key,
        reentry: bool = True,
    ):
        self.step, self.batch, self.presence = step, batch, presence
        self._model, self._encodings, self._features = model, encodings, features
        self._key, self._reentry, self._encoded = key, reentry, 0
        self._cosine = Cosine()
        self._prepared: dict[tuple[str, int], Prepared] = {}

    def count(self, *streams: str) -> int:
        return self.presence.count(*streams)

    def rows(self, *streams: str) -> Tensor:
        return self.presence.rows(*streams)

    def encoding(self, stream: str) -> Encoding:
        if stream not in self._encodings:
            raise LookupError(f"no row of this batch has {stream!r}; ask count({stream!r}) first")
        return self._encodings[stream]

    def features(self, stream: str) -> Tensor:
        if stream in self._features:
            return self._features[stream]
        return torch.zeros(0, self._model.dim, device=device_of(self._model))

    def pair(self, a: str, b: str, similarity: Similarity | None = None) -> Pair:
        similarity = self._cosine if similarity is None else similarity
        rows = self.presence.rows(a, b)
        sides = [self._select(stream, rows, self._gathered(stream, similarity)) for stream in (a, b)]
        return Pair(rows, self.presence.local(a, b), *sides)

    def side(self, stream: str, similarity: Similarity | None = None) -> Side:
        similarity = self._cosine if similarity is None else similarity
        return Side(self.presence.rows(stream), self._gathered(stream, similarity))

    def _gathered(self, stream: str, similarity: Similarity) -> Prepared:
        """What the similarity compares of every row that has the stream; gathered once however many pairs use it."""
        key = stream, id(similarity)
        if key not in self._prepared:
            prepared = similarity.prepare(self.encoding(stream), self.features(stream))
            counts = self.presence.counts(stream)
            self._prepared[key] = {
                name: distributed.gather(x if name == "embedding" else _equal_length(x), counts)
                for name, x in prepared.items()
            }
        return self._prepared[key]

    def _select(self, stream: str, rows: Tensor, gathered: Prepared) -> Prepared:
        every = self.presence.rows(stream)
        if len(every) == len(rows):
            return gathered
        index = torch.searchsorted(every, rows)
        return {name: x.index_select(0, index.to(x.device)) for name, x in gathered.items()}

    def field(self, name: str, rows: Tensor) -> Tensor:
        if name not in self.batch.fields:
            raise LookupError(f"the data brings no field {name!r}")
        own, values = self.batch.fields[name]
        counts = distributed.gather_counts(len(own))
        every = distributed.gather(own.to(values.device), counts).cpu()
        gathered = distributed.gather(values, counts)
        missing = rows[~torch.isin(rows, every)]
        if len(missing):
            raise LookupError(f"{len(missing)} rows lack the field {name!r}, first row {int(missing[0])} of the batch")
        return gathered.index_select(0, torch.searchsorted(every, rows).to(gathered.device))

    def encode(self, stream: str, inputs: Any, **kw: Any) -> Encoding:
        if not self._reentry:
            raise RuntimeError("an objective that runs a tower again must declare cacheable = False")
        self._encoded += 1
        encoding = encode(self._model, stream, inputs, (*self._key, "again", self._encoded), **kw)
        return encode_placeholder(self._model, stream, **kw) if encoding is None else encoding

    def gather(self, x: Tensor) -> Tensor:
        return distributed.gather(x, distributed.gather_counts(len(x)))

    def detached(self) -> Context:
        """The same rows without a graph, for `after_step`."""
        return Context(
            self._model,
            self.batch,
            self.presence,
            {s: e.map(Tensor.detach) for s, e in self._encodings.items()},
            {s: f.detach() for s, f in self._features.items()},
            step=self.step,
            key=(*self._key, "after"),
        )


def _equal_length(x: Tensor) -> Tensor:
    """Token axes of the same length on every process, padded with zeros."""
    if x.ndim < 2:
        return x
    length = distributed.all_max(x.shape[1])
    return x if x.shape[1] == length else torch.cat([x, x.new_zeros(len(x), length - x.shape[1], *x.shape[2:])], dim=1)
