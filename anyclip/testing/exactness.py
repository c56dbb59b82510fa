"""Proof that a global batch means the same thing everywhere.

One process with one pass is the reference; several processes (DDP, FSDP2), micro-batches, rows that lack streams and a
process without rows must give its loss and gradients. `python -m anyclip.testing.exactness -n 2 -n 4` prints the table.
"""

from __future__ import annotations

import argparse
import os
import queue
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from anyclip.config import config_from_dict
from anyclip.data.batch import Batch, Part
from anyclip.distributed import _Gather, block, rank, single_process, world_size
from anyclip.model import build_model
from anyclip.objectives import Objectives, build_objectives
from anyclip.step import Step, StepOutput, after_step, shard, train_step
from anyclip.testing.toy_objectives import Queue, TokenMax

SIZE = 14  # global rows: not a multiple of 4 processes
PARTS = 3
STREAMS = ("a", "b", "c")
VARIANTS = ("plain", "dropout", "frozen", "shared", "graph", "tokens", "tiled")
PATTERNS = ("all", "some", "none", "few")
TOLERANCE = 1e-10


@dataclass(frozen=True)
class Case:
    """One comparison.

    variant: plain, dropout, frozen (towers, whole and in part), shared (a tower and a scale of two streams), graph (a
    third pair that begins later, the mean of pairs, and wider negatives where the loss has them), tokens (a similarity
    of tokens, and an objective with a queue and a column of the data), tiled (scores in tiles of 3 x 3 with
    high scales, unequal directions and label smoothing, against the reference's whole matrix).
    """

    strategy: str
    loss: str
    variant: str
    pattern: str
    parts: int
    world: int = 1
    errors: tuple[tuple[str, float], ...] = ()  # loss, grad, scale, bias: relative to the reference

    @property
    def worst(self) -> float:
        return max((e if e == e else float("inf") for _, e in self.errors), default=float("inf"))

    def __str__(self) -> str:
        numbers = "  ".join(f"{name} {error:.1e}" for name, error in self.errors)
        head = (
            f"{self.world} x {self.strategy:<6} {self.loss:<8} {self.variant:<8} {self.pattern:<5} parts {self.parts}"
        )
        return f"{head}   {numbers}"


def build(loss: str, variant: str, *, tile: int | str = 3) -> Step:
    """Three streams, two pairs, float64; first weights are the same on every process. tile: of `tiled`."""
    options = {"size": 4, "width": 6, "depth": 2, "dropout": 0.3 if variant == "dropout" else 0.0}
    towers: dict[str, Any] = {s: {"name": "toy/mlp", "options": options, "projection": "mlp"} for s in STREAMS}
    if variant == "frozen":
        towers["b"] |= {"freeze": True}
        towers["c"] |= {"freeze": ["blocks.0"], "freeze_projection": True}
    if variant == "shared":
        towers["c"] = {"ref": "a", "projection": "linear"}
    share = {"share": "all"} if variant == "shared" else {}
    chosen: dict[str, Any] = {"tile": tile} if variant == "tiled" else {}
    if variant == "tiled" and loss == "infonce":
        chosen |= {"label_smoothing": 0.1, "direction_reduction": [0.3, 0.6]}
    edge: dict[str, Any] = {"loss": {"name": loss, "options": chosen}, "scale": {"init": 4.0, **share}}
    if loss == "siglip":
        edge["bias"] = {"init": -1.5, **share}
    pairs = [{"pair": ["a", "b"], **edge}, {"pair": ["b", "c"], "weight": 0.7, **edge}]
    if variant == "tiled":  # each range of scores has its own arithmetic
        for pair, scale in zip(pairs, (400.0, 2000.0)):
            pair["scale"] = {"init": scale, "max": 1e4}
    reduction = "sum"
    if variant == "graph":
        wide = loss == "infonce"
        pairs.append({"pair": ["a", "c"], "start": 1, "ramp": 3, "negatives": "all" if wide else "pair", **edge})
        pairs[0]["negatives"], reduction = "modality" if wide else "pair", "mean"
    model_config = {"dim": 5, "towers": towers}
    config = config_from_dict({"model": model_config, "objectives": pairs, "pair_reduction": reduction})
    model = build_model(config.model, seed=1)
    objectives = build_objectives(config, model)
    if variant == "tokens":
        edges = [objective for _, _, objective in objectives.terms]
        for edge_objective in edges:
            edge_objective.similarity, edge_objective.needs = TokenMax(), TokenMax.needs  # type: ignore[assignment]
        queue = Queue("a", field="weight", dim=5)
        objectives = Objectives([*edges, queue], names=[*objectives.names, "queue"], reduction="mean")
    return Step(model, objectives, seed=3).double().train()


def present(pattern: str, world: int) -> dict[str, Tensor]:
    """[SIZE] bool per stream."""
    generator = torch.Generator().manual_seed(7)
    return patterned({s: torch.rand(SIZE, generator=generator) < 0.7 for s in STREAMS}, pattern, world, absent="c")


def patterned(have: dict[str, Tensor], pattern: str, world: int, *, absent: str) -> dict[str, Tensor]:
    """Which rows have which streams, [N] bool each. all: every one; some: as drawn, rows lack streams; none: a process
    has none; few: one row is complete in a and b, and no row has the stream `absent`.
    """
    if pattern == "all":
        return {s: torch.ones_like(mask) for s, mask in have.items()}
    if pattern == "none":
        start, stop = block(len(have["a"]), 1, max(world, 2))
        for mask in have.values():
            mask[start:stop] = False
    if pattern == "few":
        have[absent][:] = False
        have["b"] = ~have["a"]
        have["b"][have["a"].nonzero()[0]] = True
    return have


def make_batch(pattern: str, parts: int, world: int, *, index: int, of: int) -> Batch:
    """Rows of process `index` of `of`, cut into parts; the pattern is the one for `world` processes."""
    generator = torch.Generator().manual_seed(11)
    values = {s: torch.randn(SIZE, 4, generator=generator, dtype=torch.float64) for s in STREAMS}
    have = present(pattern, world)
    start, stop = block(SIZE, index, of)
    made = []
    for i in range(parts):
        first, last = (start + edge for edge in block(stop - start, i, parts))
        rows = {s: have[s][first:last].nonzero()[:, 0] + first for s in STREAMS}
        made.append(Part({s: values[s][r] for s, r in rows.items() if len(r)}, rows))
    weight = torch.rand(SIZE, generator=generator, dtype=torch.float64)
    return Batch(made, SIZE, (start, stop), fields={"weight": (torch.arange(start, stop), weight[start:stop])})


def gradients(module: nn.Module) -> dict[str, Tensor | None]:
    """Whole gradients by parameter name; every process calls it together."""
    found = {}
    for name, parameter in module.named_parameters():
        grad = parameter.grad
        found[name] = grad.full_tensor() if hasattr(grad, "full_tensor") else grad  # type: ignore[union-attr]
    return {n: None if g is None else g.detach().clone() for n, g in found.items()}


def errors(got: tuple[StepOutput, dict], want: tuple[StepOutput, dict]) -> tuple[tuple[str, float], ...]:
    """Largest differences, relative to the size of what is compared (of all tower gradients together)."""
    found = {"loss": abs(got[0].loss - want[0].loss) / max(1.0, abs(want[0].loss))}
    found["loss"] = max([found["loss"], *(abs(v - got[0].terms[k]) for k, v in want[0].terms.items())])
    groups = {"scale": "log_scale", "bias": "objectives"}
    size: dict[str, float] = {}
    worst: dict[str, float] = {}
    for name, grad in want[1].items():
        kind = next((k for k, word in groups.items() if word in name), "grad")
        other = got[1][name]
        other = other if other is None or grad is None else other.to(grad.device)
        if grad is None or other is None:
            worst[kind] = max(worst.get(kind, 0.0), 0.0 if grad is other else float("inf"))
            continue
        worst[kind] = max(worst.get(kind, 0.0), float((grad - other).abs().max()))
        size[kind] = max(size.get(kind, 0.0), float(grad.abs().max()))
    return tuple({**found, **{k: e / max(size.get(k, 0.0), 1e-3) for k, e in worst.items()}}.items())


def compare(
    strategies: Sequence[str],
    *,
    accelerator: str = "cpu",
    world: int | None = None,
    variants: Sequence[str] = VARIANTS,
) -> Iterator[Case]:
    """Every case on the processes of the running group; each process computes the reference by itself.

    strategies: `ddp`, `fsdp`, or `single` for one process. world: the number of processes that `none` is made for.
    """
    for strategy in strategies:
        for variant in variants:
            for loss in ("infonce", "siglip"):
                yield from _compare(Case(strategy, loss, variant, "", 0, world_size()), accelerator, world)


def _compare(case: Case, accelerator: str, world: int | None) -> Iterator[Case]:
    fabric = _fabric(case.strategy, accelerator)
    step = build(case.loss, case.variant)
    reference = build(case.loss, case.variant, tile="none")
    module = fabric.setup(step) if fabric is not None else step
    world = world or world_size()
    for number, pattern in enumerate(PATTERNS):  # consecutive steps of one wrapped module
        for parts in (PARTS,) if case.variant == "dropout" else (1, PARTS):
            batch = make_batch(pattern, parts, world, index=rank(), of=world_size())
            if fabric is not None:
                batch = batch.to(fabric.device)
            if case.variant == "dropout":  # draws depend on the cut: the reference keeps the graph of the same parts
                want = train_step(module, batch, fabric=fabric, step=number, cached=False), gradients(step)
            else:
                want = alone(reference, make_batch(pattern, 1, world, index=0, of=1), number)
            output = train_step(module, batch, fabric=fabric, step=number)
            after_step(module, output)
            yield replace(case, pattern=pattern, parts=parts, errors=errors((output, gradients(step)), want))


def alone(step: Step, batch: Batch, number: int) -> tuple[StepOutput, dict[str, Tensor | None]]:
    """A step of one process: what several are compared with."""
    with single_process():
        output = train_step(step, batch, step=number)
        after_step(step, output)
        return output, gradients(step)


def compare_broken(strategies: Sequence[str]) -> Iterator[Case]:
    """The plain cases with a gather that forgets what other processes contribute: they must come out wrong."""
    right = _Gather.backward
    _Gather.backward = staticmethod(lambda ctx, grad: (right_rows(ctx.counts, grad), None))  # type: ignore[assignment]
    try:
        for strategy in strategies:
            yield from _compare(Case(strategy, "infonce", "plain", "", 0, world_size()), "cpu", None)
    finally:
        _Gather.backward = right


def right_rows(counts: Sequence[int], grad: Tensor) -> Tensor:
    start = sum(counts[: rank()])
    return grad[start : start + counts[rank()]].clone()


def _fabric(strategy: str, accelerator: str) -> Any:
    if strategy == "single":
        return None
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy, ModelParallelStrategy

    chosen = {
        "ddp": lambda: DDPStrategy(),
        "fsdp": lambda: ModelParallelStrategy(
            parallelize_fn=shard, data_parallel_size=world_size(), tensor_parallel_size=1
        ),
    }[strategy]()
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world_size()))
    fabric = Fabric(accelerator=accelerator, devices=local, num_nodes=world_size() // local, strategy=chosen)
    fabric.launch()
    return fabric


def spawn(
    world: int,
    *,
    strategies: Sequence[str] = ("ddp", "fsdp"),
    variants: Sequence[str] = VARIANTS,
    target: Any = None,
) -> list[Case]:
    """The cases on `world` gloo processes of this machine. Raises RuntimeError with the traceback of one that fails."""
    context = torch.multiprocessing.get_context("spawn")
    results = context.Queue()
    target = target or partial(compare, variants=tuple(variants))
    with tempfile.TemporaryDirectory() as folder:
        arguments = [(r, world, f"{folder}/store", tuple(strategies), results, target) for r in range(world)]
        processes = [context.Process(target=_work, args=a, daemon=True) for a in arguments]
        for process in processes:
            process.start()
        try:
            return _collect(results, processes)
        finally:
            for process in processes:
                process.join(10)
                if process.is_alive():
                    process.kill()
                    process.join()


def _collect(results: Any, processes: Sequence[Any]) -> list[Case]:
    cases: list[Case] = []
    for _ in processes:
        while True:
            try:
                kind, value = results.get(timeout=2)
                break
            except queue.Empty:
                if all(not p.is_alive() for p in processes):
                    raise RuntimeError("the processes ended without a result") from None
        if kind == "error":
            for process in processes:
                process.kill()
            raise RuntimeError(value)
        cases += value
    return cases


def _work(index: int, world: int, store: str, strategies: Sequence[str], results: Any, target: Any) -> None:
    import traceback

    torch.set_num_threads(1)
    os.environ.update(RANK=str(index), LOCAL_RANK=str(index), WORLD_SIZE=str(world), LOCAL_WORLD_SIZE=str(world))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29500")  # not used: the group meets in a file
    try:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=index, world_size=world)
        found = list(target(strategies))
        results.put(("cases", found if index == 0 else [c for c in found if c.worst > TOLERANCE]))
        dist.barrier()
        dist.destroy_process_group()
    except BaseException:
        results.put(("error", f"process {index} of {world}:\n{traceback.format_exc()}"))
        raise


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every case; 1 when any is not exact."""
    parser = argparse.ArgumentParser(description="Compare gradients of several processes with those of one.")
    parser.add_argument("-n", "--processes", type=int, action="append", help="number of gloo processes; repeatable")
    chosen = parser.parse_args(arguments)
    cases = list(compare(["single"], world=2))
    for world in chosen.processes or [2, 4]:
        cases += spawn(world)
    print(table(cases))
    return int(any(c.worst > TOLERANCE for c in cases))


def table(cases: Sequence[Case]) -> str:
    lines = [str(c) + ("" if c.worst <= TOLERANCE else "   WRONG") for c in cases]
    wrong = sum(c.worst > TOLERANCE for c in cases)
    return "\n".join([*lines, f"{len(cases)} cases, {wrong} wrong, largest error {max(c.worst for c in cases):.1e}"])


if __name__ == "__main__":
    sys.exit(main())
