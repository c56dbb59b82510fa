"""Proof that every registered loss, similarity and objective means the same on any number of processes.

As `exactness`, which has the rules; here the towers are fixed and the parts change. `python -m
anyclip.testing.exactness_parts -n 2 -n 4` prints the table. A part of a plugin is tried with its defaults.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from anyclip.config import config_from_dict
from anyclip.data.batch import Batch, Part
from anyclip.distributed import block, rank, world_size
from anyclip.model import build_model
from anyclip.objectives import Objective, build_objectives
from anyclip.objectives.class_prompts import ClassPrompts
from anyclip.registry import get_registry
from anyclip.step import Step, after_step, train_step
from anyclip.testing.exactness import TOLERANCE, Case, _fabric, alone, errors, gradients, patterned, spawn, table
from anyclip.testing.exactness_variants import HEADS, LOSSES, OBJECTIVES, SIMILARITIES
from anyclip.testing.toy_tokens import ToyTokenProcessor, ToyTokens

SIZE = 14  # global rows: not a multiple of 4 processes
PARTS = 4
DIM, WIDTH = 5, 6
VECTORS = ("a", "a#1", "b")  # streams of plain vectors; `t` are token ids of different lengths
STREAMS = (*VECTORS, "t")
NO_FSDP = ("masked_modelling",)  # it says so itself
PATTERNS = ("all", "some", "none", "few")


@dataclass(frozen=True)
class Subject:
    """A registered part with the options it is tried with, as objectives of a config."""

    kind: str
    name: str
    label: str
    objectives: list[dict[str, Any]] = field(hash=False)
    cacheable: bool = True


def subjects() -> list[Subject]:
    """Every registered loss, similarity and objective, each with every variant that is listed for it."""
    registry, found = get_registry(), []
    for part in registry.parts("loss"):
        for i, options in enumerate(LOSSES.get(part.spec.name, [{}])):
            fields = {f: f for f in getattr(part.spec, "fields", ()) if f in FIELDS and _reads(part, options, f)}
            for streams in (["a", "b"],):
                entry = {"pair": streams, "loss": {"name": part.qualified, "options": options}, "fields": fields}
                entry |= {"scale": {"init": 4.0}} | ({"bias": {"init": -1.5}} if _has_bias(part.spec) else {})
                found.append(Subject("loss", part.spec.name, _label(part.spec.name, options, i), [entry]))
    for part in registry.parts("similarity"):
        for i, (pair, options) in enumerate(SIMILARITIES.get(part.spec.name) or [_tiny(part.spec)]):
            entry = {"pair": pair, "similarity": {"name": part.qualified, "options": options}, "scale": {"init": 4.0}}
            found.append(Subject("similarity", part.spec.name, _label(part.spec.name, options, i), [entry]))
    for part in registry.parts("objective"):
        for i, entries in enumerate(OBJECTIVES.get(part.spec.name, [])):
            named = [e | {"name": part.qualified} if e.get("name") == part.spec.name else e for e in entries]
            options = next(e.get("options", {}) for e in entries if e.get("name") == part.spec.name)
            cacheable = bool(getattr(part.spec, "cacheable", True))
            found.append(
                Subject("objective", part.spec.name, _label(part.spec.name, options, i), named, cacheable=cacheable)
            )
    return [*found, *(Subject("edge", "heads", f"heads {i}" if i else "heads", [e]) for i, e in enumerate(HEADS))]


def _tiny(spec: Any) -> tuple[list[str], dict[str, Any]]:
    """How a plugin's similarity is tried: one that reads tokens on vectors against tokens."""
    return (["a", "t"] if spec.tokens else ["a", "b"]), dict(spec.tiny)


def untried() -> list[str]:
    """Registered objectives without an entry: they cannot be tried by themselves."""
    return [p.qualified for p in get_registry().parts("objective") if p.spec.name not in OBJECTIVES]


def _label(name: str, options: Mapping[str, Any], index: int) -> str:
    words = [k for k, v in options.items() if k not in ("dim", "words", "frames", "head", "streams") and v is not None]
    return " ".join([name, *(words if index else words[:0])])[:46]


def _has_bias(spec: Any) -> bool:
    return getattr(spec, "bias", None) is not None


def _reads(part: Any, options: Mapping[str, Any], name: str) -> bool:
    from anyclip.losses import create_loss

    return name in create_loss(part.qualified, **options).fields


FIELDS = ("labels", "ids", "sample_weights", "sentence", "teacher_a", "teacher_b")


def build(subject: Subject) -> Step:
    """Vectors a, b and tokens t, float64; first weights are the same on every process."""
    options = {"size": 4, "width": WIDTH, "depth": 2}
    tower = {"name": "toy/mlp", "options": options}
    used = {s.partition("#")[0] for e in subject.objectives for s in _streams(e)}
    towers = {s: {**tower, "projection": "mlp" if s == "a" else "linear"} for s in ("a", "b", "t") if s in used}
    for s in {e["options"]["prompt_stream"] for e in subject.objectives if "prompt_stream" in e.get("options", {})}:
        towers[s] = towers[s] | {"freeze": True, "freeze_projection": True}
    config = config_from_dict({"model": {"dim": DIM, "towers": towers}, "objectives": subject.objectives})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = build_model(config.model, seed=1)
        if "t" in used:
            model.towers["t"] = ToyTokens(width=WIDTH)
        objectives = build_objectives(config, model)
        for objective in objectives:
            assert isinstance(objective, Objective)
            for teacher in objective.teachers.values():  # else it equals the tower and its average does not move
                for parameter in teacher.parameters():
                    parameter.add_(0.3 * torch.randn_like(parameter))
            if isinstance(objective, ClassPrompts):  # nothing to embed here
                objective.prototypes.normal_()
    return Step(model, objectives, seed=3).double().train()


def _streams(entry: Mapping[str, Any]) -> list[str]:
    options = entry.get("options", {})
    singles = [options[k] for k in ("stream", "teacher_stream", "other_stream", "prompt_stream") if options.get(k)]
    lists = (options.get(k, []) for k in ("streams", "anchors", "keys", "teacher_streams"))
    return [*entry.get("pair", []), *singles, *(s for names in lists for s in names)]


def present(pattern: str, world: int) -> dict[str, Tensor]:
    """[SIZE] bool per stream, as `exactness.patterned`; in `few` the second view is there where b is."""
    generator = torch.Generator().manual_seed(7)
    have = {s: torch.rand(SIZE, generator=generator) < 0.75 for s in STREAMS}
    have = patterned(have, pattern, world, absent="t")
    return {**have, "a#1": have["b"].clone()} if pattern == "few" else have


def make_batch(pattern: str, parts: int, world: int, *, index: int, of: int) -> Batch:
    """Rows of process `index` of `of`, cut into parts; the pattern is the one for `world` processes."""
    g = torch.Generator().manual_seed(11)
    values = {s: torch.randn(SIZE, 4, generator=g, dtype=torch.float64) for s in VECTORS}
    lengths = torch.randint(2, 6, (SIZE,), generator=g).tolist()
    ids = [torch.randint(1, 9, (n,), generator=g) for n in lengths]
    have = present(pattern, world)
    start, stop = block(SIZE, index, of)
    made = []
    for i in range(parts):
        first, last = (start + edge for edge in block(stop - start, i, parts))
        rows = {s: have[s][first:last].nonzero()[:, 0] + first for s in STREAMS}
        inputs: dict[str, Any] = {s: values[s][rows[s]] for s in VECTORS if len(rows[s])}
        if len(rows["t"]):
            inputs["t"] = ToyTokenProcessor().collate([ids[row] for row in rows["t"].tolist()])
        made.append(Part(inputs, rows))
    fields = {
        "labels": torch.randint(0, 4, (SIZE,), generator=g),
        "label": torch.arange(SIZE) % 4,
        "ids": torch.randint(0, 9, (SIZE,), generator=g),
        "sample_weights": 0.5 + torch.rand(SIZE, generator=g, dtype=torch.float64),
        "sentence": torch.randn(SIZE, 3, generator=g, dtype=torch.float64),
        "teacher_a": torch.nn.functional.normalize(torch.randn(SIZE, DIM, generator=g, dtype=torch.float64), dim=-1),
        "teacher_b": torch.nn.functional.normalize(torch.randn(SIZE, DIM, generator=g, dtype=torch.float64), dim=-1),
    }
    own = {name: (torch.arange(start, stop), values[start:stop]) for name, values in fields.items()}
    return Batch(made, SIZE, (start, stop), fields=own)


def compare(
    strategies: Sequence[str], *, world: int | None = None, names: Sequence[str] | None = None
) -> Iterator[Case]:
    """Every case of the named parts (default: all) on the processes of the running group."""
    for strategy in strategies:
        for subject in subjects():
            if (names is None or subject.name in names) and not (strategy == "fsdp" and subject.name in NO_FSDP):
                yield from _compare(subject, strategy, world or world_size())


def _compare(subject: Subject, strategy: str, world: int) -> Iterator[Case]:
    fabric = _fabric(strategy, "cpu")
    step, reference = build(subject), build(subject)
    module = fabric.setup(step) if fabric is not None else step
    for number, pattern in enumerate(PATTERNS):  # consecutive steps of one wrapped module
        for parts in (1, PARTS) if subject.cacheable else (1,):
            want = alone(reference, make_batch(pattern, 1, world, index=0, of=1), number)
            batch = make_batch(pattern, parts, world, index=rank(), of=world_size())
            output = train_step(module, batch, fabric=fabric, step=number)
            after_step(module, output)
            found = dict(errors((output, gradients(step)), want))
            found["state"] = _state_difference(step, reference)
            case = Case(strategy, subject.label, subject.kind, pattern, parts, world_size())
            yield replace(case, errors=tuple(found.items()))


def _state_difference(step: Step, reference: Step) -> float:
    """Of queues and teachers after the step: buffers, and parameters that do not learn."""

    def kept(one: Step) -> list[Tensor]:
        return [x for x in (*one.objectives.buffers(), *one.objectives.parameters()) if not x.requires_grad]

    whole = (x.full_tensor() if hasattr(x, "full_tensor") else x for x in kept(step))  # type: ignore[operator]
    pairs = zip(whole, kept(reference))
    return max((float((x.double() - y.double()).abs().max()) for x, y in pairs if x.numel()), default=0.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every case; 1 when any is not exact, or a part cannot be tried."""
    parser = argparse.ArgumentParser(description="Compare every loss, similarity and objective on several processes.")
    parser.add_argument("-n", "--processes", type=int, action="append", help="number of gloo processes; repeatable")
    parser.add_argument("names", nargs="*", help="registry names; default: all")
    chosen = parser.parse_args(arguments)
    names = chosen.names or None
    cases = list(compare(["single"], world=2, names=names))
    for world in chosen.processes or [2, 4]:
        cases += spawn(world, strategies=["ddp"], target=partial(compare, names=names))
    print(table(cases))
    for name in untried():
        print(f"not tried: {name}")
    return int(any(c.worst > TOLERANCE for c in cases) or bool(untried()))


if __name__ == "__main__":
    sys.exit(main())
