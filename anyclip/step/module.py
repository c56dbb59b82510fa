"""Step: the one module that Fabric wraps. Everything that learns is used inside its forward."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from anyclip.data import Batch
from anyclip.distributed import Presence, rank, world_size
from anyclip.losses.tiled_products import autocast_dtype, products_in
from anyclip.model import JointModel
from anyclip.model.buffers import buffers_kept
from anyclip.objectives import Objectives
from anyclip.step import rng
from anyclip.step.context import Context
from anyclip.step.encoding import Key, device_of, encode, keep, project
from anyclip.step.inject import inject
from anyclip.step.reach import Unreached
from anyclip.towers import Encoding


@dataclass(eq=False)
class Cache:
    """What the first of two passes leaves for the second, per stream: parts of encodings, gradients of the whole."""

    parts: dict[str, list[Encoding | None]] = field(default_factory=dict)
    grads: dict[str, list[Tensor | None]] = field(default_factory=dict)
    parameters: dict[str, Tensor | None] = field(default_factory=dict)


class Work:
    """One call of `Step.forward`, and what it leaves beside its result. A plain class: wrappers must not look inside.

    mode: `full` (one pass), `collect` (first of two: encode without grad, gradients of the encodings), `replay`
    (second: one part again, with its gradients put in).
    """

    def __init__(self, mode: Literal["full", "collect", "replay"], batch: Batch, presence: Presence, step: int):
        self.mode, self.batch, self.presence, self.step = mode, batch, presence, step
        self.part = 0
        self.cache = Cache()
        self.total: Tensor | None = None
        self.terms: dict[str, Tensor] = {}
        self.context: Context | None = None
        self.reached: set[int] | None = None  # ids of parameters; None where the wrapper needs no help


class Step(nn.Module):
    """Towers, projections and objectives.

    seed: random numbers of the model are a function of (seed, step, micro-batch, process, stream).
    """

    def __init__(self, model: JointModel, objectives: Objectives, *, seed: int = 0):
        super().__init__()
        self.model, self.objectives, self.seed = model, objectives, seed
        self.unreached = Unreached()
        self.observed = False  # somebody outside looks at the encodings of each step (a sampler)

    @property
    def streams(self) -> list[str]:
        """Streams that are encoded: those that an objective needs."""
        return self.objectives.streams

    def forward(self, work: Work) -> Tensor:
        """A scalar to call backward on; afterwards `.grad`, averaged over processes, is the global gradient."""
        with rng.forked():
            if work.mode == "full":
                return self._full(work)
            return self._collect(work) if work.mode == "collect" else self._replay(work)

    def kind(self, work: Work) -> object:
        """What decides which parameters a step reaches, as far as it is known before."""
        groups = [*((s,) for s in self.streams), *(o.streams for _, _, o in self.objectives.terms)]
        counts = (min(work.presence.count(*streams), 2) for streams in groups)
        return len(work.batch.parts), self.objectives.active(work.step), *counts

    def _full(self, work: Work) -> Tensor:
        encodings, features = {}, {}
        for stream in self._present(work):
            encoded = ((i, self._encode(work, stream, i)) for i in range(len(work.batch.parts)))
            parts = [(i, self._kept(e)) for i, e in encoded if e is not None]
            encodings[stream] = Encoding.cat([e for _, e in parts])
            features[stream] = torch.cat([project(self.model, stream, e, self._key(work, i)) for i, e in parts])
        total = self._total(work, encodings, features)
        return total * world_size() + self._touch({})

    def _collect(self, work: Work) -> Tensor:
        """Encode every part without grad; then the objectives on copies, whose gradients are kept."""
        cache, leaves, features = work.cache, {}, {}
        for stream in self._present(work):
            with torch.no_grad(), ExitStack() as stack:
                if self.model.trainable(stream):  # it runs again in the second pass, which shall count once
                    stack.enter_context(buffers_kept(self.model.tower(stream)))
                encoded = (self._encode(work, stream, i) for i in range(len(work.batch.parts)))
                parts = [None if e is None else self._kept(e) for e in encoded]
                cache.parts[stream] = parts
                projected = [
                    project(self.model, stream, e, self._key(work, i)) for i, e in enumerate(parts) if e is not None
                ]
            found = [e for e in parts if e is not None]
            leaves[stream] = Encoding.cat(found).map(self._leaf(self.model.trainable(stream)))
            features[stream] = self._leaf(self._learns(stream))(torch.cat(projected))
        with torch.enable_grad():
            total = self._total(work, leaves, features, reentry=False) * world_size()
            self._keep_grads(cache, total, leaves, features)
        return total.detach()

    def _keep_grads(
        self, cache: Cache, total: Tensor, leaves: dict[str, Encoding], features: dict[str, Tensor]
    ) -> None:
        tensors = {s: _tensors(leaves[s], features[s]) for s in leaves}
        own = self._late()
        wanted = [t for ts in tensors.values() for t in ts if t is not None and t.requires_grad]
        wanted += [p for p in own.values() if p.requires_grad]
        found: dict[int, Tensor | None] = {}
        if wanted and total.requires_grad:
            found = {id(t): g for t, g in zip(wanted, torch.autograd.grad(total, wanted, allow_unused=True))}
        cache.grads = {s: [found.get(id(t)) for t in ts] for s, ts in tensors.items()}
        cache.parameters = {name: found.get(id(p)) for name, p in own.items()}

    def _replay(self, work: Work) -> Tensor:
        """One part again, with grad; the last part also brings the gradients of the objectives."""
        tensors, grads = [], []
        for stream in self._present(work):
            if not self._learns(stream):
                continue
            kept = work.cache.parts[stream]
            start = sum(len(e.pooled) for e in kept[: work.part] if e is not None)
            encoding = kept[work.part]
            if self.model.trainable(stream):
                encoding = self._encode(work, stream, work.part)
                encoding = None if encoding is None else self._kept(encoding)
            if encoding is None:
                continue
            features = project(self.model, stream, encoding, self._key(work, work.part))
            for tensor, grad in zip(_tensors(encoding, features), work.cache.grads[stream]):
                if tensor is not None and tensor.requires_grad and grad is not None:
                    tensors.append(tensor)
                    grads.append(_rows(grad, start, tensor))
        replayed = inject(tensors, grads, device_of(self))
        if work.part < len(work.batch.parts) - 1:
            return replayed
        return replayed + self._touch(work.cache.parameters)

    def _total(
        self, work: Work, encodings: dict[str, Encoding], features: dict[str, Tensor], *, reentry: bool = True
    ) -> Tensor:
        key = self._key(work, "objectives")
        rng.seed(*key)
        context = Context(
            self.model,
            work.batch,
            work.presence,
            encodings,
            features,
            step=work.step,
            key=key,
            reentry=reentry,
            teachers={s: t for _, _, o in self.objectives.terms for s, t in o.teachers.items()},
        )
        device = device_of(self)
        with products_in(autocast_dtype(device)), torch.autocast(device.type, enabled=False):
            total, terms = self.objectives(context)
        work.total, work.terms = total.detach(), {name: t.detach() for name, t in terms.items()}
        work.context = context.detached() if self.objectives.keeps_state or self.observed else None
        return total

    def _encode(self, work: Work, stream: str, part: int) -> Encoding | None:
        micro = work.batch.parts[part]
        inputs = micro.inputs[stream] if stream in micro.rows and len(micro.rows[stream]) else None
        kw = {"layers": depths} if (depths := self._depths(stream)) else {}
        return encode(self.model, stream, inputs, self._key(work, part), **kw)

    def _depths(self, stream: str) -> tuple[int, ...]:
        return tuple(sorted({d for _, _, o in self.objectives.terms for d in o.depths.get(stream, ())}))

    def _kept(self, encoding: Encoding) -> Encoding:
        return keep(encoding, {n for _, _, o in self.objectives.terms for n in o.needs})

    def _present(self, work: Work) -> list[str]:
        """Streams that the step's terms need and some process has rows of: the same tower calls on every process."""
        return [stream for stream in self.objectives.streams_at(work.step) if work.presence.count(stream)]

    def _learns(self, stream: str) -> bool:
        """Whether a gradient of the stream's features reaches any parameter."""
        projection = self.model.projection(stream)
        return self.model.trainable(stream) or any(p.requires_grad for p in projection.parameters())

    @staticmethod
    def _leaf(learns: bool):
        def leaf(x: Tensor) -> Tensor:
            return x.detach().requires_grad_(learns and x.is_floating_point())

        return leaf

    def _key(self, work: Work, part: int | str) -> Key:
        return self.seed, work.step, part, rank()

    def _late(self) -> dict[str, nn.Parameter]:
        """Parameters used after the encodings: of the objectives, and of projections, which may map tokens there."""
        return {
            **dict(self.objectives.named_parameters()),
            **dict(self.model.projections.named_parameters("projections")),
        }

    def _touch(self, grads: dict[str, Tensor | None]) -> Tensor:
        """Put in the gradients of the objectives' parameters, by name.

        With several processes every parameter is named as used, which DDP waits for; but for those that FSDP holds
        sharded at this point.
        """
        late = self._late()
        own = {id(p): grads.get(name) for name, p in late.items()}
        every = late.values() if world_size() == 1 else self.parameters()
        tensors = [p for p in every if p.requires_grad and not hasattr(p, "to_local")]
        return inject(tensors, [own.get(id(p)) for p in tensors], device_of(self))


def _tensors(encoding: Encoding, features: Tensor) -> list[Tensor | None]:
    """Every tensor of an encoding and its features, in an order that is the same for each part."""
    return [*pytree.tree_leaves(encoding), features]


def _rows(grad: Tensor, start: int, like: Tensor) -> Tensor:
    """A part's rows of a gradient, and its number of tokens."""
    rows = grad[start : start + len(like)]
    return rows[:, : like.shape[1]] if like.ndim > 1 else rows
