"""Everything that takes part in a run, put together in the right order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lightning_fabric import Fabric
from torch import nn
from torch.optim import Optimizer

from anyclip.checkpoint import RunFolder, find_weights, load_tensors
from anyclip.checkpoint.folder import MODEL_FILE
from anyclip.config import Config
from anyclip.data import Quarantine, StreamInfo, TrainData
from anyclip.model import JointModel, build_model, load_projection_state, load_tower_state
from anyclip.objectives import build_objectives
from anyclip.step import Step
from anyclip.trainer.agree import together
from anyclip.trainer.ema import Ema
from anyclip.trainer.groups import build_groups, freeze_groups, named_parameters
from anyclip.trainer.locked import load_locked, locked_streams
from anyclip.trainer.metrics import MetricsFile
from anyclip.trainer.optimizers import create_optimizer
from anyclip.trainer.progress import Display
from anyclip.trainer.schedule import total_steps
from anyclip.trainer.state import TrainState

if TYPE_CHECKING:
    from anyclip.objectives import Objectives
    from anyclip.trainer.loggers import Logger


@dataclass
class Session:
    """The parts of a run. `step_module` is what Fabric wrapped; `optimizer` the plain one, `stepper` Fabric's."""

    config: Config
    folder: RunFolder
    fabric: Fabric
    model: JointModel
    objectives: Objectives
    step_module: nn.Module
    optimizer: Optimizer
    stepper: Any
    parameters: list[nn.Parameter]
    ema: Ema | None
    data: TrainData
    quarantine: Quarantine
    steps: int
    display: Display
    state: TrainState
    metrics: MetricsFile | None = None
    loggers: tuple[Logger, ...] = ()
    saved: int = -1  # step of the newest checkpoint of this process's life
    logged_samples: int = 0

    def close(self) -> None:
        """End loader processes and close files; safe to call twice."""
        self.data.close()
        for logger in self.loggers:
            logger.close()
        self.loggers = ()
        if self.metrics is not None:
            self.metrics.close()
            self.metrics = None


def build_session(
    config: Config, folder: RunFolder, fabric: Fabric, display: Display, *, checkpoint: Path | None
) -> Session:
    """Model, objectives, optimizer, average and data of a run. Without a checkpoint pretrained and `init` weights are
    loaded; otherwise its own follow later, and the towers are rebuilt from the run's assets.
    """
    model, objectives = together(fabric, lambda: build_parts(config, folder, checkpoint))
    locked = locked_streams(model, objectives, config, folder, fabric, display)
    data = together(fabric, lambda: build_data(config, model, objectives, fabric, locked))
    if config.train.compile:
        for tower in model.towers.values():
            tower.compile()  # in place: parameter names stay, unlike with torch.compile(tower)
    step = Step(model, objectives, seed=config.train.seed)
    step.observed = bool(data.observes)
    step_module = fabric.setup_module(step)
    named = named_parameters(model, objectives)  # sharding replaces parameters
    groups = build_groups(named, dict(model.towers.items()), config.optimizer)
    fused = fabric.device.type in ("cuda", "cpu") and config.train.precision != "16-mixed"
    optimizer = create_optimizer(groups, config.optimizer, fused=fused)
    return Session(
        config=config,
        folder=folder,
        fabric=fabric,
        model=model,
        objectives=objectives,
        step_module=step_module,
        optimizer=optimizer,
        stepper=fabric.setup_optimizers(optimizer),
        parameters=[p for group in optimizer.param_groups for p in group["params"]],
        ema=Ema(model, config.train.ema) if config.train.ema is not None else None,
        data=data,
        quarantine=Quarantine(folder.quarantine, config.data.max_bad),
        steps=total_steps(config, data.steps_per_epoch),
        display=display,
        state=TrainState(),
    )


def build_parts(config: Config, folder: RunFolder, checkpoint: Path | None) -> tuple[JointModel, Objectives]:
    """What can be built, and can fail, before processes are tied together."""
    fresh = checkpoint is None
    assets = folder.assets if not fresh and folder.assets.is_dir() else None
    model = build_model(config.model, assets=assets, load_weights=fresh, seed=config.train.seed)
    objectives = build_objectives(config, model)
    if fresh:
        load_first_weights(model, config)
        objectives.begin(model)
    else:
        load_locked(model, config, checkpoint)
    named = named_parameters(model, objectives)
    freeze_groups(named, config.optimizer.groups)
    build_groups(named, dict(model.towers.items()), config.optimizer)  # its errors belong here
    return model, objectives


def build_data(
    config: Config,
    model: JointModel,
    objectives: Objectives,
    fabric: Fabric,
    locked: Mapping[str, StreamInfo] = MappingProxyType({}),
) -> TrainData:
    """This process's share of the training data, for the streams that objectives use; `locked` ones bring vectors."""
    streams = {s: StreamInfo(model.processor(s), model.modality(s)) for s in objectives.streams} | dict(locked)
    return TrainData(
        config.data,
        streams,
        seed=config.train.seed,
        rank=fabric.global_rank,
        world=fabric.world_size,
        micro_batch=config.train.micro_batch,
        extra_fields=objectives.fields,
        base=config.base,
        pin_memory=fabric.device.type == "cuda",
    )


def load_first_weights(model: JointModel, config: Config) -> None:
    """`init` of every tower: a run, a checkpoint, a model folder or a safetensors file."""
    for stream, tower in config.model.towers.items():
        if tower.init is None:
            continue
        path = Path(config.base or ".") / tower.init
        if path.suffix != ".safetensors":
            path = find_weights(path)[1] / MODEL_FILE
        state, where = load_tensors(path), f"model.towers.{stream}.init: {path}"
        load_tower_state(model, stream, state, where=where)
        if tower.init_projection:
            load_projection_state(model, stream, state, where=where)
