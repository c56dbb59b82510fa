"""Where metrics go besides metrics.jsonl. A plugin's logger is a subclass of `Logger`, registered by a LoggerSpec."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from anyclip.registry import get_registry


class Logger(ABC):
    """Receives metrics on the first process.

    folder: the run folder. config: the resolved config as plain values. start: the step a resumed run begins after
    (0: a new run); what was logged for later steps is void.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], *, start: int = 0):
        self.folder, self.config, self.start = folder, config, start

    @abstractmethod
    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of one step: `loss`, `terms/NAME`, `lr`, `scales/NAME`, `eval/...`."""

    def close(self) -> None:  # noqa: B027 (most have nothing to close)
        """The run ends, well or not."""


class TensorBoardLogger(Logger):
    """Event files in `RUN/tensorboard`."""

    def __init__(self, folder: Path, config: Mapping[str, Any], *, start: int = 0):
        super().__init__(folder, config, start=start)
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(log_dir=str(folder / "tensorboard"), purge_step=start + 1 if start else None)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class WandbLogger(Logger):
    """Weights & Biases; a resumed run goes on in the same W&B run. Project and mode: the WANDB_* variables."""

    module = "wandb"

    def __init__(self, folder: Path, config: Mapping[str, Any], *, start: int = 0):
        super().__init__(folder, config, start=start)
        self._module = import_module(self.module)
        self._begin()

    def _begin(self) -> None:
        name = self.folder.resolve().name
        # a new run needs a new identity even in a folder of the same name; a resumed one needs the old identity
        identity_file = self.folder / "wandb.id"
        identity = identity_file.read_text().strip() if self.start and identity_file.is_file() else None
        run = self._module.init(
            project=None,
            name=name,
            id=identity,
            dir=str(self.folder),
            config=dict(self.config),
            resume="allow" if identity else None,
        )
        identity_file.write_text(str(run.id))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._module.log(dict(values), step=step)

    def close(self) -> None:
        self._module.finish()


class TrackioLogger(WandbLogger):
    """trackio, a local dashboard: `trackio show`."""

    module = "trackio"

    def _begin(self) -> None:
        resume = "allow" if self.start else "never"
        name = self.folder.resolve().name
        self._module.init(project="anyclip", name=name, config=dict(self.config), resume=resume)


def create_loggers(names: list[str], folder: Path, config: Mapping[str, Any], *, start: int = 0) -> list[Logger]:
    """Loggers by registry name. Raises PluginError for one that is unknown or whose library is not installed."""
    registry = get_registry()
    return [registry.load("logger", name)(folder, config, start=start) for name in names]
