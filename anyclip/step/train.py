"""Forward and backward of one global batch."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from anyclip.data import Batch
from anyclip.distributed import Presence, all_sum, world_size
from anyclip.errors import UserError
from anyclip.step.module import Step, Work
from anyclip.step.output import StepOutput
from anyclip.step.reach import fills_zeros, reached


def train_step(
    module: nn.Module, batch: Batch, *, fabric: Any = None, step: int | None = None, cached: bool = True
) -> StepOutput:
    """Leave the gradient of the global batch in `.grad`, on every process.

    module: a `Step`, as it is or wrapped by Fabric, DDP or FSDP. batch: this process's rows, on the module's device;
    more than one part means two passes (GradCache: Gao et al. 2021, arXiv 2101.06983). Earlier gradients are dropped,
    and parameters that the global batch did not reach have none (`None`, so an optimizer leaves them alone).
    cached: False keeps the graph of every part instead of the second pass: more memory, a reference to compare with.
    Raises UserError when an objective cannot be cut into parts.
    """
    inner = unwrap(module)
    step = batch.step if step is None else step
    streams = inner.streams
    presence = Presence.of(streams, {s: batch.rows(s) for s in streams}, batch.size, batch.local)
    for parameter in inner.parameters():
        parameter.grad = None
    work = Work("full", batch, presence, step)
    if len(batch.parts) == 1 or not cached:
        _pass(module, work, fabric)
    else:
        _two_passes(module, inner, work, fabric)
    if work.reached is not None:
        inner.unreached.drop([p for p in inner.parameters() if p.requires_grad], work.reached, inner.kind(work))
    return _output(inner, work)


def after_step(module: nn.Module, output: StepOutput) -> None:
    """After the optimizer step: clamp scales, let objectives update their queues. Not for a step that was skipped."""
    unwrap(module).objectives.after_step(output.context)


def unwrap(module: nn.Module) -> Step:
    """The `Step` inside Fabric's, DDP's or torch.compile's wrapper."""
    while not isinstance(module, Step):
        inner = getattr(module, "module", None) or getattr(module, "_orig_mod", None)
        if inner is None:
            raise TypeError(f"{type(module).__name__} holds no Step")
        module = inner
    return module


def _two_passes(module: nn.Module, inner: Step, work: Work, fabric: Any) -> None:
    refused = [name for name, _, objective in inner.objectives.terms if not objective.cacheable]
    if refused:
        raise UserError(
            f"{', '.join(refused)} runs a tower again, so a batch cannot be cut into micro-batches.",
            where="train.micro_batch",
            hint="Set it to null.",
        )
    work.mode = "collect"
    with torch.no_grad():
        module(work)
    work.mode = "replay"
    last = len(work.batch.parts) - 1
    for work.part in range(last + 1):
        with _no_sync(module, fabric, work.part < last):
            _pass(module, work, fabric)
    work.cache.parts.clear()


def _pass(module: nn.Module, work: Work, fabric: Any) -> None:
    """One forward and backward."""
    loss = module(work)
    if not loss.requires_grad:
        return
    inner = unwrap(module)
    if world_size() > 1 and fills_zeros(module) and not inner.unreached.complete(inner.kind(work)):
        work.reached = (work.reached or set()) | reached(loss)
    if fabric is not None:
        fabric.backward(loss)
    else:
        loss.backward()


def _no_sync(module: nn.Module, fabric: Any, enabled: bool) -> AbstractContextManager[Any]:
    """Gradients stay on each process until the last part."""
    if not enabled or world_size() == 1:
        return nullcontext()
    if fabric is not None:
        return fabric.no_backward_sync(module)
    no_sync: Any = getattr(module, "no_sync", nullcontext)
    return no_sync()


def _output(inner: Step, work: Work) -> StepOutput:
    """Global numbers, with one small all-reduce and one copy to the CPU."""
    assert work.total is not None
    values = all_sum(torch.stack([work.total, *work.terms.values()])).tolist()
    return StepOutput(
        loss=values[0],
        terms=dict(zip(work.terms, values[1:])),
        pairs={name: work.presence.count(*streams) for name, streams in inner.objectives.edges.items()},
        finite=bool(torch.isfinite(torch.tensor(values)).all()),
        context=work.context,
    )
