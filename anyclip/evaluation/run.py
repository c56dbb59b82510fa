"""Run a config's evaluations: inside training, and by `anyclip eval`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from anyclip.config import named
from anyclip.config.schema import Config, EvalConfig, SourceConfig
from anyclip.data.sources import source_name
from anyclip.errors import UserError
from anyclip.evaluation.base import Result
from anyclip.evaluation.data import Edge, EvalData
from anyclip.evaluation.processes import Processes
from anyclip.registry import get_registry
from anyclip.similarities import Similarity, create_similarity

if TYPE_CHECKING:
    from anyclip.model import JointModel

_FIELD_OPTIONS = ("group", "label")  # options of evaluations that name a field of the data


def run_evaluations(
    model: JointModel,
    config: Config,
    *,
    device: torch.device | str | None = None,
    fabric: Any | None = None,
    similarities: Mapping[tuple[str, str], Similarity] | None = None,
) -> list[Result]:
    """Every evaluation of the config on every validation dataset; embeddings are computed once per dataset.

    Without `eval` in the config: retrieval between every two streams that a dataset holds, trained or not
    (`info["trained"]`; an untrained pair that retrieves is emergent, bound by the streams of `info["through"]`).
    Called on every process of `fabric`, which
    share the rows; all get the same results. A metric is named `image->text/R@1`, with `DATASET:` before it when
    there are several datasets; evaluations of one kind that share a metric are `NAME`, `NAME~2`.

    Args:
        device: where to run; None: where the model is.
        similarities: the trained similarity of a pair, for those that have parameters of their own.

    Raises UserError when there is no validation data or an evaluation cannot run on it.
    """
    if not config.data.val:
        raise UserError("there is no validation data.", hint="Name it under data.val.", next="anyclip eval --help")
    if device is not None:
        model.to(device)
    evaluations = config.eval or [EvalConfig()]
    shared: dict[str, Any] = {
        "base": config.base,
        "fields": _fields(evaluations),
        "processes": Processes.of(fabric),
        "workers": min(config.data.workers, 4),
        "train": config.data.train,
        "edges": _edges(config, similarities or {}),
    }
    results: list[Result] = []
    for source, label in zip(config.data.val, dataset_labels(config.data.val)):
        data = EvalData(source, model, name=label, **shared)
        found = [r for evaluation in evaluations for r in _run_one(evaluation, model, data)]
        for result in found:
            _note_bad(result, data)
            results.append(_prefixed(result, label) if len(config.data.val) > 1 else result)
    _tell_apart(results)
    return results


def _run_one(config: EvalConfig, model: JointModel, data: EvalData) -> list[Result]:
    registry = get_registry()
    cls, options = (
        registry.load("evaluation", config.name),
        registry.build_options("evaluation", config.name, config.options),
    )
    pairs: Iterable[tuple[str, str] | None]
    if config.pair:
        pairs = [(config.pair[0], config.pair[1])]
    elif config.name.rpartition(":")[2] == "retrieval":
        pairs = list(combinations(data.streams, 2))
    else:
        pairs = [None]
    return [cls(options, pair=pair).run(model, data) for pair in pairs]


def _edges(config: Config, similarities: Mapping[tuple[str, str], Similarity]) -> list[Edge]:
    """The trained pairs with how they are scored; views (`name#1`) count as their stream."""
    edges = []
    for objective in config.objectives:
        if objective.pair is None or objective.name is not None:
            continue
        a, b = (stream.partition("#")[0] for stream in objective.pair)
        similarity = named(objective.similarity)
        module = similarities.get((objective.pair[0], objective.pair[1]))
        if module is None:
            module = create_similarity(similarity.name, **similarity.options)
            if any(True for _ in module.parameters()):  # its weights are not at hand
                edges.append(Edge((a, b), "cosine", create_similarity("cosine")))
                continue
        edges.append(Edge((a, b), similarity.name, module))
    return edges


def _fields(evaluations: Iterable[EvalConfig]) -> list[str]:
    """Fields that the evaluations read, beyond the streams."""
    fields: dict[str, None] = {}
    for evaluation in evaluations:
        options = get_registry().build_options("evaluation", evaluation.name, evaluation.options)
        for option in _FIELD_OPTIONS:
            value = getattr(options, option, None)
            if isinstance(value, str):
                fields[value] = None
    return list(fields)


def dataset_labels(sources: list[SourceConfig]) -> list[str]:
    """A short name of each dataset: the stem of its path, or its reader; numbered when they repeat."""
    labels: list[str] = []
    for source in sources:
        path = source.options.get("path")
        label = Path(path).stem if isinstance(path, str) and len(sources) > 1 else source_name(source)
        count = sum(known.partition("~")[0] == label for known in labels)
        labels.append(f"{label}~{count + 1}" if count else label)
    return labels


def _prefixed(result: Result, label: str) -> Result:
    for name in ("numbers", "intervals", "chance"):
        setattr(result, name, {f"{label}:{key}": value for key, value in getattr(result, name).items()})
    for name in ("trained", "through"):
        if isinstance(result.info.get(name), dict):
            result.info[name] = {f"{label}:{key}": value for key, value in result.info[name].items()}
    return result


def _tell_apart(results: list[Result]) -> None:
    """Two evaluations of one kind with other options would share their metrics' names: `zero_shot`, `zero_shot~2`."""
    taken: set[tuple[str, str]] = set()
    for result in results:
        name, count = result.name, 1
        while any((result.name, metric) in taken for metric in result.numbers):
            count += 1
            result.name = f"{name}~{count}"
        taken |= {(result.name, metric) for metric in result.numbers}


def _note_bad(result: Result, data: EvalData) -> None:
    if data.bad:
        shown = [{"sample": s, "stream": stream, "reason": r} for (s, stream), r in sorted(data.bad.items())[:20]]
        result.info["bad"] = {"values": len(data.bad), "first": shown}


def save_results(folder: Path, results: list[Result], *, step: int | None) -> Path:
    """Write `eval/step-00000100.json` (or `eval/model.json` without a step) and `eval/latest.json`. Atomic."""
    from anyclip.checkpoint import write_text_atomic

    folder = folder / "eval"
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"step": step, "results": [_plain(result) for result in results]}, indent=1) + "\n"
    name = "model" if step is None else f"step-{step:08d}"
    write_text_atomic(folder / f"{name}.json", text)
    write_text_atomic(folder / "latest.json", text)
    return folder / f"{name}.json"


def _plain(result: Result) -> dict[str, Any]:
    """JSON has no NaN: a number without a value becomes null."""
    data = asdict(result)
    for name in ("numbers", "chance"):
        data[name] = {k: v if v == v else None for k, v in data[name].items()}
    return data


def load_results(path: Path) -> tuple[int | None, list[Result]]:
    """(step, results) of a file that `save_results` wrote."""
    data = json.loads(path.read_text(encoding="utf-8"))
    results = [
        Result(**{**r, "intervals": {k: (low, high) for k, (low, high) in r["intervals"].items()}})
        for r in data["results"]
    ]
    return data["step"], results
