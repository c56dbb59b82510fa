"""Training data: datasets, their mixture and the workers that load it, as an endless sequence of batches."""

from __future__ import annotations

import atexit
import hashlib
import threading
import weakref
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from anyclip.config.schema import DataConfig, SourceConfig
from anyclip.data.assembling import Assembler, Work, local_range, number_of_parts
from anyclip.data.batch import Batch
from anyclip.data.data_sampler import create_sampler
from anyclip.data.length_groups import read_lengths
from anyclip.data.packing import Packed, pack, unpack
from anyclip.data.sampler import MixtureSampler, Sampler
from anyclip.data.sources import Source, StreamInfo, source_name
from anyclip.data.workers import Board, WorkerStart, death, start_context
from anyclip.errors import UserError

_GRACE = 1.0  # seconds that a busy worker gets to end by itself when page-locked memory is in use


class TrainData:
    """Batches of the training datasets; the batch of a step is a pure function of (config, seed, step).

    Args:
        config: `train`, `batch_size` (global rows), `mixing`, `workers`, `prefetch`.
        streams: stream -> processor and modality, for every stream of the model.
        rank, world: this process holds the consecutive rows [N * rank // world, N * (rank + 1) // world).
        micro_batch: rows per part; None: one part.
        extra_fields: columns that objectives ask for (labels, teacher vectors), in `Batch.fields`.
        base: folder of the config file.
        pin_memory: batches in page-locked memory, for asynchronous copies to a CUDA device; nothing without one.
        sampler: another order of samples; default: the one that `config.sampler` names, else shuffled passes mixed by
            weight.

    Raises UserError for a dataset that does not fit. Close it, or use it in a `with` block.
    """

    def __init__(
        self,
        config: DataConfig,
        streams: Mapping[str, StreamInfo],
        *,
        seed: int,
        rank: int = 0,
        world: int = 1,
        micro_batch: int | None = None,
        extra_fields: Sequence[str] = (),
        base: str | None = None,
        pin_memory: bool = False,
        sampler: Sampler | None = None,
    ):
        self.config, self.rank, self.world = config, rank, world
        self.pin_memory = pin_memory and torch.cuda.is_available()
        self.sources = open_sources(config.train, streams, extra=extra_fields, base=base)
        self.sizes = {source.name: len(source) for source in self.sources}
        self.sampler: Sampler = sampler or self._create_sampler(streams, seed)
        parts = number_of_parts(config.batch_size, world, micro_batch)
        self._assembler = Assembler(
            self.sources, streams, seed=seed, parts=parts, micro_batch=micro_batch, extra=extra_fields
        )
        self._pool: _Pool | None = None

    def _create_sampler(self, streams: Mapping[str, StreamInfo], seed: int) -> Sampler:
        config, sizes, names = self.config, list(self.sizes.values()), list(self.sizes)
        if config.sampler is not None and any(source.length for source in config.train):
            raise UserError("length does not go with another sampler.", where="data.sampler", hint="Leave one out.")
        if config.sampler is not None:
            about = {"sizes": sizes, "names": names, "batch_size": config.batch_size, "streams": list(streams)}
            ahead = config.workers * config.prefetch + 1
            return create_sampler(config.sampler.name, config.sampler.options, seed=seed, ahead=ahead, **about)
        weights = [source.weight for source in config.train]
        lengths = [read_lengths(s, c.length) if c.length else None for s, c in zip(self.sources, config.train)]
        more: dict[str, Any] = {"seed": seed, "mixing": config.mixing, "names": names, "lengths": lengths}
        return MixtureSampler(sizes, weights, config.batch_size, **more)

    @property
    def observes(self) -> Sequence[str]:
        """Streams whose embeddings the sampler wants to see after each step."""
        return getattr(self.sampler, "observes", ())

    @property
    def steps_per_epoch(self) -> float:
        """Steps that hold as many rows as one pass over every dataset."""
        return self.sampler.steps_per_epoch

    @property
    def dropped(self) -> dict[str, int]:
        """Rows that one pass over each dataset leaves out because they do not fill a batch."""
        return dict(zip(self.sizes, self.sampler.dropped)) if isinstance(self.sampler, MixtureSampler) else {}

    def passes(self, step: int) -> dict[str, float]:
        """Passes over each dataset before `step`; empty when the sampler makes none."""
        return dict(zip(self.sizes, self.sampler.passes(step))) if isinstance(self.sampler, MixtureSampler) else {}

    def fingerprint(self) -> str:
        """Digest of the data that the run sees; a resumed run refuses another."""
        text = repr([source.fingerprint() for source in self.sources])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def state_dict(self) -> dict[str, Any]:
        return {"sampler": self.sampler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sampler.load_state_dict(state["sampler"])

    def batches(self, start: int = 0) -> Generator[Batch, None, None]:
        """The batches of steps start, start + 1, ... without end. One iteration at a time.

        Raises UserError when a value cannot be used at all or a worker dies.
        """
        if self.config.workers == 0:
            for work in self._plan(start):
                batch = self._assembler(work)
                yield unpack(pack(batch).pin_memory()) if self.pin_memory else batch
        if self._pool is None:
            self._pool = _Pool(self._assembler, self.config, pin_memory=self.pin_memory)
        yield from self._pool.batches(self._plan(start))

    def _plan(self, start: int) -> Iterator[Work]:
        step = start
        while True:
            picks = self.sampler.batch(step)
            first, last = local_range(len(picks), self.rank, self.world)
            yield Work(step, picks[first:last], len(picks), first)
            step += 1

    def close(self) -> None:
        """End the workers; takes a moment, whatever they are doing."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def __enter__(self) -> TrainData:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def open_sources(
    configs: Sequence[SourceConfig],
    streams: Mapping[str, StreamInfo],
    *,
    extra: Sequence[str] = (),
    base: str | None = None,
) -> list[Source]:
    """Open every dataset of a list. One dataset must bring every stream; of several, each brings its own.

    Raises UserError for a stream or field that no dataset brings, and for a dataset of several that brings only one of
    the model's streams without saying so under `fields` (most often a misspelt column).
    """
    if not configs:
        raise UserError("there is no training data.", where="data.train", hint="Name at least one dataset.")
    several = len(configs) > 1
    sources: list[Source] = []
    for config in configs:
        name = source_name(config)
        taken = sum(source.name == name or source.name.startswith(f"{name} #") for source in sources)
        name = f"{name} #{taken + 1}" if taken else name
        source = Source(config, streams=streams, base=base, extra=extra, partial=several, name=name)
        brought = {stream.partition("#")[0] for stream in source.streams}
        wanted = {stream.partition("#")[0] for stream in streams}
        if len(brought) < 2 <= len(wanted) and not brought & set(config.fields):
            only = ", ".join(brought) or "no stream"
            raise UserError(
                f"brings {only}, and no column for {', '.join(sorted(wanted - brought))}.",
                where=name,
                hint=f"Its columns: {', '.join(source.reader.columns())}. Name the columns under `fields`.",
            )
        sources.append(source)
    for kind, names in (("stream", streams), ("field", extra)):
        for wanted_name in names:
            if not any(wanted_name in (s.streams if kind == "stream" else s.extra) for s in sources):
                raise UserError(f"no dataset has a column for the {kind} {wanted_name}.", where="data.train")
    return sources


class _Loadable(Dataset):
    """What a worker holds: it makes a packed batch of a `Work`."""

    def __init__(self, assembler: Assembler, board: Board):
        self.assembler, self.board = assembler, board

    def __getitem__(self, work: Work) -> Packed | UserError:
        try:
            # packed here, because the queue's own thread would drop a batch that cannot be pickled and never say so
            return pack(self.assembler(work, note=self.board.note))
        except UserError as error:
            return error


class _Restartable:
    """The sampler of the loader: its plan is replaced when another iteration begins."""

    plan: Iterator[Work]

    def __iter__(self) -> Iterator[Work]:
        return self.plan


class _Pool:
    """Loader workers and the batches they send, in order."""

    def __init__(self, assembler: Assembler, config: DataConfig, *, pin_memory: bool):
        context = start_context()
        self._assembler = assembler
        self._board = Board(context, config.workers)
        self._plan = _Restartable()
        self._loader: DataLoader | None = DataLoader(
            _Loadable(assembler, self._board),
            batch_size=None,
            sampler=self._plan,  # type: ignore[arg-type]
            num_workers=config.workers,
            collate_fn=_as_is,
            worker_init_fn=WorkerStart(self._board),
            multiprocessing_context=context,
            persistent_workers=True,
            prefetch_factor=config.prefetch,
            pin_memory=pin_memory,
            generator=torch.Generator(),  # the loader draws a seed: not from the generator of the model
        )
        self._pinned = pin_memory
        self._iterator: Any = None

    def batches(self, plan: Iterator[Work]) -> Iterator[Batch]:
        assert self._loader is not None, "closed"
        self._plan.plan = plan
        first = self._iterator is None
        self._iterator = iter(self._loader)
        if first:  # registered after the loader's own, so that it runs before it
            atexit.register(_close_at_exit, weakref.ref(self))
        while True:
            yield unpack(self._next())

    def _next(self) -> Packed:
        try:
            packed = next(self._iterator)
        except RuntimeError as error:
            raise self._death() or error from error
        if isinstance(packed, UserError):
            raise packed
        return packed

    def _death(self) -> UserError | None:
        workers = getattr(self._iterator, "_workers", [])
        return death([w.exitcode for w in workers], [self._described(i) for i in range(len(workers))])

    def _described(self, worker: int) -> str | None:
        last = self._board.last(worker)
        if last is None:
            return None
        dataset, row, stream = last
        source = self._assembler.sources[dataset]
        return f"stream {list(self._assembler.streams)[stream]} of {source.sample_id(row)} ({source.name})"

    def close(self) -> None:
        if self._loader is None:
            return
        iterator, self._iterator, self._loader = self._iterator, None, None
        if iterator is None:
            return
        # a worker that ends in the middle of a message would block the loader's pinning thread, which must end first
        timer = threading.Timer(_GRACE if self._pinned else 0.0, self._board.close)
        timer.start()
        iterator._shutdown_workers()
        timer.join()
        for worker in iterator._workers:
            if worker.is_alive():
                worker.kill()


def _as_is(packed: Any) -> Any:
    return packed


def _close_at_exit(pool: weakref.ref) -> None:
    found = pool()
    if found is not None:
        found.close()
