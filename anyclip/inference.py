"""Values -> vectors, for evaluation, the Python API and `anyclip embed`. Nothing is drawn, nothing learns."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from anyclip.data.values import bad_sample
from anyclip.errors import BadSample
from anyclip.processors import to_device
from anyclip.similarities import Prepared, create_similarity
from anyclip.towers import Encoding

if TYPE_CHECKING:
    from anyclip.model import JointModel
    from anyclip.processors import Processor


class Embedded(NamedTuple):
    """Vectors [n, E] (float32, CPU) of the usable values, their positions [n], and (position, reason) of the others."""

    vectors: Tensor
    rows: Tensor
    errors: list[tuple[int, str]]


@dataclass
class Encoded:
    """What a similarity keeps of the usable values (`Prepared`, CPU), their positions, and the others' reasons."""

    prepared: Prepared
    rows: Tensor
    errors: list[tuple[int, str]]


def embed_values(
    model: JointModel,
    stream: str,
    values: Sequence[Any],
    *,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    workers: int = 0,
    normalize: bool = True,
    progress: bool = False,
) -> Embedded:
    """Embed values of one stream.

    A value's vector does not depend on its batch mates, their number or their order, beyond the rounding of float32
    sums (about 1e-6). A value that cannot be used is reported with its position and reason, never dropped silently.

    Args:
        values: anything with a length and `values[i]`: paths, bytes, arrays or strings, as the processor takes them.
        device: where to run; the model is moved there. None: where it is.
        workers: threads that decode ahead of the model; 0 decodes in between.
        normalize: unit length; False: raw features.
        progress: show a bar on stderr.
    """
    similarity = create_similarity("cosine" if normalize else "dot")
    encoded = encode_values(
        model,
        stream,
        values,
        similarity.prepare,
        batch_size=batch_size,
        device=device,
        workers=workers,
        progress=progress,
    )
    vectors = encoded.prepared.get("embedding", torch.empty(0, model.dim)).float()
    return Embedded(vectors, encoded.rows, encoded.errors)


def encode_values(
    model: JointModel,
    stream: str,
    values: Sequence[Any],
    prepare: Callable[[Encoding, Tensor], Prepared],
    *,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    workers: int = 0,
    progress: bool = False,
    calls: int | None = None,
) -> Encoded:
    """Encode values and keep what `prepare(encoding, features)` returns of each.

    calls: run the tower exactly so many times, on a placeholder when a batch is empty: with sharded weights every
    process must make the same calls.
    """
    if device is not None:
        model.to(device)
    device = _device_of(model)
    kept: list[Prepared] = []
    rows: list[int] = []
    errors: list[tuple[int, str]] = []
    with evaluating(model), _bar(stream, len(values), progress) as advance:
        done = 0
        for loaded in _batches(model.processor(stream), values, batch_size, workers):
            errors += [(i, sample.reason) for i, sample in loaded if isinstance(sample, BadSample)]
            good = [(i, sample) for i, sample in loaded if not isinstance(sample, BadSample)]
            if good or calls is not None:
                prepared = _run(model, stream, [sample for _, sample in good], prepare, device)
                done += 1
            if good:
                fine = _finite(prepared)
                errors += [(i, "the model's vector is not finite") for (i, _), ok in zip(good, fine.tolist()) if not ok]
                rows += [i for (i, _), ok in zip(good, fine.tolist()) if ok]
                kept.append({name: x[fine] for name, x in prepared.items()})
            advance(len(loaded))
        for _ in range((calls or 0) - done):
            _run(model, stream, [], prepare, device)
    return Encoded(cat_prepared(kept), torch.tensor(rows, dtype=torch.long), sorted(errors))


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode and no gradients inside; afterwards every module is in the mode it had.

    Not `inference_mode`: a tower that builds a table on first use would keep a tensor that training cannot use.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def cat_prepared(parts: Sequence[Prepared]) -> Prepared:
    """Rows of several batches one after the other; token axes are padded to the longest with zeros."""
    joined: Prepared = {}
    for name in parts[0] if parts else ():
        tensors = [part[name] for part in parts]
        if tensors[0].ndim > 1:
            longest = max(t.shape[1] for t in tensors)
            tensors = [
                t
                if t.shape[1] == longest
                else torch.cat([t, t.new_zeros(t.shape[0], longest - t.shape[1], *t.shape[2:])], 1)
                for t in tensors
            ]
        joined[name] = torch.cat(tensors)
    return joined


def _run(model: JointModel, stream: str, samples: list, prepare: Callable, device: torch.device) -> Prepared:
    """One tower call; on a placeholder when there are no samples."""
    processor = model.processor(stream)
    inputs = processor.collate(samples or [processor.placeholder()])
    encoding = model.encode(stream, to_device(inputs, device))
    prepared = prepare(encoding, model.features(stream, encoding))
    return {name: x.cpu() for name, x in prepared.items()}


def _finite(prepared: Prepared) -> Tensor:
    """[B]: rows whose vectors are finite all over."""
    checks = [torch.isfinite(x).flatten(1).all(1) if x.ndim > 1 else torch.isfinite(x) for x in prepared.values()]
    return torch.stack(checks).all(0)


def _batches(
    processor: Processor, values: Sequence[Any], batch_size: int, workers: int
) -> Iterator[list[tuple[int, Any]]]:
    """Consecutive positions with their samples; a BadSample stands in place of a sample that failed.

    Values are fetched here, in order (their source need not be thread-safe); threads run `Processor.load`.
    """
    with ThreadPoolExecutor(workers) if workers else contextlib.nullcontext() as pool:
        waiting: deque[tuple[int, Any]] = deque()
        ahead, batch = batch_size + 2 * workers, []
        for i in range(len(values)):
            try:
                value = values[i]
            except BadSample as error:
                waiting.append((i, error))
            else:
                waiting.append((i, pool.submit(_load, processor, value) if pool else _load(processor, value)))
            while len(waiting) > (ahead if pool else 0):
                batch.append(_wait(waiting.popleft()))
                if len(batch) == batch_size:
                    yield batch
                    batch = []
        batch += map(_wait, waiting)
        for start in range(0, len(batch), batch_size):
            yield batch[start : start + batch_size]


def _wait(item: tuple[int, Any]) -> tuple[int, Any]:
    return (item[0], item[1].result()) if isinstance(item[1], Future) else item


def _load(processor: Processor, value: Any) -> Any:
    try:
        return processor.load(value, rng=None)
    except MemoryError:
        raise
    except Exception as error:  # whatever a decoder raises is that value's fault, and is reported with its reason
        return bad_sample(error)


def _device_of(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


@contextlib.contextmanager
def _bar(stream: str, total: int, show: bool) -> Iterator[Callable[[int], None]]:
    if not show:
        yield lambda n: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(stream, total=total)
        yield lambda n: bar.advance(task, n)
