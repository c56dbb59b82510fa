"""The run folder: names of its parts, the latest checkpoint, pruning."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from anyclip.checkpoint.atomic import remove_unfinished, write_text_atomic
from anyclip.checkpoint.hub import fetch, is_hub
from anyclip.errors import CheckpointError

STEP_NAME = re.compile(r"step-(\d{8,})")
MODEL_FILE, EMA_FILE, OBJECTIVES_FILE = "model.safetensors", "ema.safetensors", "objectives.safetensors"
OPTIMIZER_FILE, STATE_FILE = "optimizer.safetensors", "state.json"


@dataclass(frozen=True)
class RunFolder:
    """Paths in the folder of one run, and its checkpoints (`checkpoints/step-00000100`)."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def versions(self) -> Path:
        return self.path / "versions.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def quarantine(self) -> Path:
        return self.path / "quarantine.jsonl"

    @property
    def assets(self) -> Path:
        return self.path / "assets"

    @property
    def eval(self) -> Path:
        return self.path / "eval"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        """The folder of the checkpoint after `step` optimizer steps."""
        return self.checkpoints / f"step-{step:08d}"

    def steps(self) -> list[int]:
        """Steps of the finished checkpoints, rising."""
        found = self.checkpoints.glob("step-*") if self.checkpoints.is_dir() else ()
        named = [(STEP_NAME.fullmatch(p.name), p) for p in found]
        return sorted(int(m[1]) for m, p in named if m and (p / STATE_FILE).is_file())

    def latest(self) -> Path | None:
        """The newest finished checkpoint: the one that `latest` names, else the highest step; None before the first."""
        pointer = self.checkpoints / "latest"
        if pointer.is_file():
            named = self.checkpoints / pointer.read_text().strip()
            if STEP_NAME.fullmatch(named.name) and (named / STATE_FILE).is_file():
                return named
        steps = self.steps()
        return self.checkpoint(steps[-1]) if steps else None

    def point_latest(self, step: int) -> None:
        write_text_atomic(self.checkpoints / "latest", f"{self.checkpoint(step).name}\n")

    def prune(self, keep: int) -> None:
        """Delete all but the `keep` newest checkpoints; never the one that `latest` names."""
        latest = self.latest()
        for step in self.steps()[:-keep]:
            if self.checkpoint(step) != latest:
                shutil.rmtree(self.checkpoint(step))

    def remove_unfinished(self) -> None:
        """Delete what a killed process left behind."""
        for folder in (self.path, self.checkpoints):
            remove_unfinished(folder)


def find_weights(path: str | Path) -> tuple[Path, Path]:
    """(folder with config.yaml and assets/, folder with model.safetensors) of a run, a checkpoint or a model folder.

    path: a folder, or hf://OWNER/NAME. Raises CheckpointError when it is none of the three.
    """
    path = fetch(str(path)) if is_hub(path) else Path(path)
    if not path.exists():
        raise CheckpointError("there is no such file or folder.", where=str(path), next="anyclip train CONFIG")
    if (path / "config.yaml").is_file():
        if (path / MODEL_FILE).is_file():
            return path, path
        latest = RunFolder(path).latest()
        if latest is None:
            raise CheckpointError(
                "this run has no checkpoint yet.", where=str(path), next=f"anyclip train {path / 'config.yaml'}"
            )
        return path, latest
    if (path / MODEL_FILE).is_file() and path.parent.name == "checkpoints":
        return path.parent.parent, path
    raise CheckpointError(
        "this is no run, checkpoint or model folder: it holds no config.yaml.",
        where=str(path),
        hint="Published checkpoints are turned into a model folder first.",
        next=f"anyclip import LAYOUT {path} OUT",
    )
