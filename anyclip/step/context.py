"""What objectives see of one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from anyclip import distributed
from anyclip.data import Batch
from anyclip.data.digests import text_number
from anyclip.data.rng import keyed_generator
from anyclip.distributed import Presence
from anyclip.errors import UserError
from anyclip.losses.base import Prepared
from anyclip.model import JointModel
from anyclip.objectives import Pair, Side
from anyclip.similarities import Similarity
from anyclip.similarities.cosine import Cosine
from anyclip.step import rng
from anyclip.step.encoding import Key, device_of, encode, encode_placeholder
from anyclip.towers import Encoding, Tower


class Context:
    """The `StepContext` of one process.

    encodings, features: this process's rows per stream. key: seed of random numbers; reentry: towers may run again.
    teachers: moving averages of towers that objectives keep.
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
        teachers: Mapping[str, nn.Module] | None = None,
    ):
        self.step, self.batch, self.presence = step, batch, presence
        self._model, self._encodings, self._features = model, encodings, features
        self._key, self._reentry, self._encoded = key, reentry, 0
        self._cosine = Cosine()
        self._prepared: dict[tuple[str, int, int], Prepared] = {}
        self._teachers = dict(teachers or {})

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

    def pair(
        self, a: str, b: str, similarity: Similarity | None = None, *, heads: Sequence[nn.Module | None] = (None, None)
    ) -> Pair:
        similarity = self._cosine if similarity is None else similarity
        rows = self.presence.rows(a, b)
        sides = [self._select(s, rows, self._gathered(s, similarity, head)) for s, head in zip((a, b), heads)]
        sides = similarity.pair(*sides) if similarity.paired else sides
        return Pair(rows, self.presence.local(a, b), *sides)

    def select(self, stream: str, x: Tensor, rows: Tensor) -> Tensor:
        gathered = distributed.gather(_equal_length(x), self.presence.counts(stream))
        return self._select(stream, rows, {"x": gathered})["x"]

    def local(self, rows: Tensor) -> slice:
        start, stop = torch.searchsorted(rows, torch.tensor(self.batch.local)).tolist()
        return slice(start, stop)

    def rng(self, *key: int | str) -> np.random.Generator:
        return keyed_generator("objective", self._key[0], self.step, *key)

    def teacher(self, stream: str) -> Tower:
        if stream not in self._teachers:
            raise LookupError(f"no objective keeps a teacher of {stream!r}")
        return self._teachers[stream]  # type: ignore[return-value]

    def tower(self, stream: str) -> Tower:
        return self._model.tower(stream)

    def side(self, stream: str, similarity: Similarity | None = None) -> Side:
        similarity = self._cosine if similarity is None else similarity
        return Side(self.presence.rows(stream), self._gathered(stream, similarity))

    def _gathered(self, stream: str, similarity: Similarity, head: nn.Module | None = None) -> Prepared:
        """What the similarity compares of every row that has the stream; gathered once however many pairs use it."""
        key = stream, id(similarity), id(head)
        if key not in self._prepared:
            encoding, features = self.encoding(stream), self.features(stream)
            if "projected" in similarity.needs:
                encoding = self._model.project_tokens(stream, encoding)
            prepared = similarity.prepare(encoding, features if head is None else head(features))
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
        own, values = self._field(name)
        counts = distributed.gather_counts(len(own))
        every = distributed.gather(own.to(values.device), counts).cpu()
        gathered = distributed.gather(values, counts)
        missing = rows[~torch.isin(rows, every)]
        if len(missing):
            raise FieldError(
                f"{len(missing)} rows lack the field {name!r}, first row {int(missing[0])} of the batch.",
                hint="The quarantine file of the run names values that are broken; fill in those that are missing.",
            )
        return gathered.index_select(0, torch.searchsorted(every, rows).to(gathered.device))

    def _field(self, name: str) -> tuple[Tensor, Tensor]:
        """Own rows and values of a field; where this process has none, none of the kind that others have."""
        found = self.batch.fields.get(name)
        if found is not None and not isinstance(found[1], Tensor):
            found = found[0], torch.tensor([text_number(text) for text in found[1]], dtype=torch.long)
        kinds = distributed.gather_objects(None if found is None else (found[1].dtype, tuple(found[1].shape[1:])))
        kind = next((k for k in kinds if k is not None), None)
        if kind is None:
            raise FieldError(f"the data brings no field {name!r}.", hint="Map it in `fields` of the dataset.")
        device = device_of(self._model)
        if found is None:
            return torch.zeros(0, dtype=torch.long), torch.zeros(0, *kind[1], dtype=kind[0], device=device)
        return found[0], found[1].to(device)

    def encode(self, stream: str, inputs: Any, **kw: Any) -> Encoding:
        if not self._reentry:
            raise RuntimeError("an objective that runs a tower again must declare cacheable = False")
        self._encoded += 1
        encoding = encode(self._model, stream, inputs, (*self._key, "again", self._encoded), **kw)
        return encode_placeholder(self._model, stream) if encoding is None else encoding

    def encode_embeds(self, stream: str, embeds: Tensor | None, mask: Tensor | None) -> Encoding:
        if embeds is None:
            return self.encode(stream, None)
        if not self._reentry:
            raise RuntimeError("an objective that runs a tower again must declare cacheable = False")
        self._encoded += 1
        rng.seed(*self._key, "again", self._encoded, stream)
        assert mask is not None
        return self._model.tower(stream).forward_embeds(embeds, mask)

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
            teachers=self._teachers,
        )


class FieldError(UserError, LookupError):
    """A value that an objective reads is not there."""


def _equal_length(x: Tensor) -> Tensor:
    """Token axes of the same length on every process, padded with zeros."""
    if x.ndim < 2:
        return x
    length = distributed.all_max(x.shape[1])
    return x if x.shape[1] == length else torch.cat([x, x.new_zeros(len(x), length - x.shape[1], *x.shape[2:])], dim=1)
