"""What a run would be, worked out from its config: parameters, memory, negatives, steps, limits of exactness."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from anyclip.config import Config
from anyclip.errors import UserError
from anyclip.model import JointModel, build_model
from anyclip.objectives import build_objectives
from anyclip.trainer.groups import build_groups, freeze_groups, named_parameters

if TYPE_CHECKING:
    from anyclip.data import TrainData
    from anyclip.objectives import Objectives

# floating-point numbers that an optimizer keeps per trained parameter
_STATES = {"adamw": 2, "adam": 2, "lamb": 2, "lion": 1, "sgd": 1}
_BYTES = {"64-true": 8, "bf16-true": 2}


@dataclass
class Parameters:
    """Numbers of one part of the model. shared: parameters that an earlier part has counted."""

    part: str
    name: str
    width: int | None
    total: int
    trainable: int
    shared: int = 0

    @property
    def frozen(self) -> int:
        return self.total - self.trainable


@dataclass
class Memory:
    """Bytes per process, activations left out. sharded: how many processes share them (FSDP)."""

    weights: int
    gradients: int
    optimizer: int
    average: int
    sharded: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.average


@dataclass
class Negatives:
    """Candidate negatives of one pair. share: part of the steps whose batches hold the pair; rows: complete rows of
    such a batch when no value is missing.
    """

    pair: tuple[str, str]
    rows: float
    share: float

    @property
    def per_row(self) -> float:
        return max(0.0, self.rows - 1)


def plan_model(config: Config) -> tuple[JointModel, Objectives]:
    """Model and objectives without weights (on torch's meta device when every part can be built there)."""
    try:
        with torch.device("meta"):
            model = build_model(config.model, load_weights=False)
    except UserError:
        raise
    except Exception:  # a tower that computes while it is built: build it for real
        model = build_model(config.model, load_weights=False)
    objectives = build_objectives(config, model)
    freeze_groups(named_parameters(model, objectives), config.optimizer.groups)
    model.train()
    return model, objectives


def count_parameters(model: JointModel, objectives: Objectives) -> list[Parameters]:
    """One row per tower, projection and objective, in the order of the model; each parameter counts once."""
    seen: set[int] = set()
    rows = []
    for stream, tower in model.towers.items():
        rows.append(_count(tower, seen, f"tower {stream}", type(tower).__name__, tower.width))  # type: ignore[arg-type]
    for stream, layer in model.projections.items():
        rows.append(_count(layer, seen, f"projection {stream}", type(layer).__name__, model.dim))
    for name, _, objective in objectives.terms:
        rows.append(_count(objective, seen, f"objective {name}", type(objective).__name__, None))
    return rows


def _count(module: nn.Module, seen: set[int], part: str, name: str, width: int | None) -> Parameters:
    row = Parameters(part, name, width, 0, 0)
    for parameter in module.parameters():
        if id(parameter) in seen:
            row.shared += parameter.numel()
            continue
        seen.add(id(parameter))
        row.total += parameter.numel()
        row.trainable += parameter.numel() if parameter.requires_grad else 0
    return row


def estimate_memory(config: Config, model: JointModel, objectives: Objectives, processes: int) -> Memory:
    """Bytes that weights, gradients, optimizer state and the average take on each process."""
    size = _BYTES.get(config.train.precision, 4)
    named = named_parameters(model, objectives)
    groups = build_groups(
        named, dict(model.towers.items()), config.optimizer
    )  # also refuses a run with nothing to train
    total = sum(p.numel() for p in named.values())
    trained = sum(p.numel() for group in groups for p in group["params"])
    states = _STATES[config.optimizer.name]
    if config.optimizer.name == "sgd" and config.optimizer.momentum == 0:
        states = 0
    average = sum(p.numel() for p in model.parameters()) * max(4, size) if config.train.ema is not None else 0
    sharded = processes if config.train.strategy == "fsdp" else 1
    parts = (total * size, trained * size, trained * states * size, average)
    return Memory(*(part // sharded for part in parts), sharded=sharded)


def count_processes(config: Config) -> int:
    """Processes of the whole run; `devices: auto` counts the accelerators of this machine."""
    devices = config.train.devices
    if devices == "auto":
        on_gpu = config.train.accelerator in ("auto", "cuda") and torch.cuda.is_available()
        per_node = torch.cuda.device_count() if on_gpu else 1
    else:
        per_node = len(devices) if isinstance(devices, list) else devices
    return per_node * config.train.num_nodes


def count_negatives(config: Config, objectives: Objectives, data: TrainData) -> Iterator[Negatives]:
    """Candidate negatives of every pair, from which datasets bring both of its streams and how they are mixed."""
    weights = [source.weight for source in config.data.train]
    for a, b in dict.fromkeys(objectives.edges.values()):
        bring = [w for w, s in zip(weights, data.sources) if a in s.streams and b in s.streams]
        share = sum(bring) / sum(weights)
        if config.data.mixing == "batch":
            yield Negatives((a, b), config.data.batch_size, share)
        else:
            yield Negatives((a, b), config.data.batch_size * share, 1.0)


def inexact_parts(model: JointModel, objectives: Objectives) -> list[str]:
    """What depends on how the global batch is cut into processes and micro-batches, in words."""
    found = []
    for stream, tower in model.towers.items():
        norms = sum(isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training for m in tower.modules())
        if norms:
            found.append(f"tower {stream}: {norms} BatchNorm layers take statistics per process and micro-batch")
        if any(map(_drops, tower.modules())):
            found.append(f"tower {stream}: dropout draws depend on how the batch is cut")
    for stream, layer in model.projections.items():
        if any(map(_drops, layer.modules())):
            found.append(f"projection {stream}: dropout draws depend on how the batch is cut")
    for name, _, objective in objectives.terms:
        if not objective.cacheable:
            found.append(f"objective {name}: runs towers again per micro-batch")
    return found


def _drops(module: nn.Module) -> bool:
    """Whether a module in train mode drops anything: as a dropout layer, or by a rate that its attention reads."""
    if not module.training:
        return False
    names = ("p",) if isinstance(module, nn.modules.dropout._DropoutNd) else ()
    rates: Iterable[str] = (*names, "drop_prob", "dropout", "dropout_p", "attention_dropout", "dropout_prob")
    return any(isinstance(rate := getattr(module, name, None), float) and rate > 0 for name in rates)
